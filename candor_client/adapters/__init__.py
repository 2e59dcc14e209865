"""What sends a library's answers as they are given: `openai`, `litellm`, `langchain`, each by its own package."""
