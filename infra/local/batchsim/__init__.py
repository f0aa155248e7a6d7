"""A local stand-in for Google's LLM batch APIs."""
