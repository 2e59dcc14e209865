"""Back ends of the probes: a packaged or local model in process, or any OpenAI-compatible server.

Nothing here is imported until asked for: `probes.models.local` needs torch, `openai` does not.
"""

from probes.models.chat import Chat, ChatModel, Likelihood, LikelihoodModel, Progress

__all__ = ["Chat", "ChatModel", "Likelihood", "LikelihoodModel", "Progress"]
