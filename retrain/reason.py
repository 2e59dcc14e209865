"""The reasons for which a row is kept out of training."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a row is quarantined."""

    UNREADABLE = "unreadable"
    UNKNOWN_ORIGIN = "unknown_origin"
    BLOCKED_SOURCE = "blocked_source"
    PROBE_TRAFFIC = "probe_traffic"
    NOT_OF_SOURCE = "not_of_source"
    FORGOTTEN = "forgotten"
    UNKNOWN_RESPONSE = "unknown_response"
    UNVERIFIABLE = "unverifiable"
    OTHER_TEXT = "other_text"
    OTHER_VERSION = "other_version"
    UNKNOWN_FEEDBACK = "unknown_feedback"
    OTHER_RESPONSE = "other_response"
    OTHER_VALUE = "other_value"
    OTHER_RATER = "other_rater"
    OTHER_TIME = "other_time"
    REPEATED_ID = "repeated_id"
    UNMEASURED = "unmeasured"
    LIE = "verdict_lie"
    EVASION = "verdict_evasion"
    UNDECIDED = "verdict_undecided"
    NO_BELIEF = "verdict_no_belief"
    NOT_ASSERTED = "verdict_not_asserted"
    HONEST = "verdict_honest"
    ERROR = "verdict_error"
    CONTRADICTED = "contradicted_by_tools"
    P_LIE = "p_lie"
    SUSPECT_RATER = "suspect_rater"
    COORDINATION_GROUP = "coordination_group"
    INFLUENCE = "influence"
    NEAR_DUPLICATE = "near_duplicate"
