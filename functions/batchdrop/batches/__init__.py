"""The Batches client: Vertex AI's and the Gemini Developer API's batch jobs."""
