"""The conversation before a response with what was told kept and the pressure taken away."""

from probes.neutral.checking import Coverage, FactCheck, WordCheck
from probes.neutral.extract import Decides, Extractive
from probes.neutral.frames import FRAMES, neutral_contexts
from probes.neutral.prompts import FrameNeutral, NeutralPrompts, RewrittenNeutral
from probes.neutral.rewrite import Generative, Rewriter
from probes.neutral.rules import Worded
from probes.neutral.store import MemoryStore, NeutralStore
from probes.neutral.text import NeutralText, Role, State, key_of

__all__ = [
    "FRAMES",
    "Coverage",
    "Decides",
    "Extractive",
    "FactCheck",
    "FrameNeutral",
    "Generative",
    "MemoryStore",
    "NeutralPrompts",
    "NeutralStore",
    "NeutralText",
    "Rewriter",
    "RewrittenNeutral",
    "Role",
    "State",
    "WordCheck",
    "Worded",
    "key_of",
    "neutral_contexts",
]
