"""Drop a JSONL of LLM requests into a bucket; a batch job is made of it, once."""
