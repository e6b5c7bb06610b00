"""Queries in the words of a user, and a pattern of the names that are right answers."""

import re

import numpy as np

# Written down before a model answered.
PATTERNS = {
    "something to cut paper": "scissors|cut|knife",
    "send a letter": "mail|envelope|letter|send|paper plane|post",
    "it is raining": "rain|pour|drizzle|shower|umbrella",
    "good night": "moon|night|sleep|bed|zzz|snooze",
    "take a picture": "camera|photo|picture",
    "listen to music": "music|headphone|song|earbud|headset|playlist|vinyl|radio|speaker",
    "where am I?": "map|location|pin|gps|compass|navigation|near me",
    "time to wake up": "alarm|clock|sunrise|morning",
    "throw it away": "trash|delete|bin|garbage|waste|recycl",
    "keep it secret": "lock|key|secret|incognito|eye (off|slash|closed)|hidden|private|password",
    "happy birthday": "cake|birthday|party|gift|balloon|confetti|celebration",
    "fast food": "burger|fries|pizza|hot ?dog|food|french|taco",
    "a place to sleep": "bed|hotel|tent|sleep|hammock",
    "call my mother": "phone|call|telephone",
    "grow a plant": "plant|seed|sprout|leaf|flower|grass|tree|shovel|watering",
    "it is very cold": "snow|ice|frost|cold|freezing|thermometer|temperature",
    "money in the bank": "bank|money|piggy|cash|coin|dollar|saving|wallet",
    "go to the hospital": "hospital|ambulance|medical|health|stethoscope|first aid|doctor",
    "a drink with caffeine": "coffee|cup|mug|tea|cafe",
    "travel to space": "rocket|space|planet|satellite|shuttle|ufo|alien|telescope",
    "fix a broken machine": "wrench|tool|hammer|repair|build|screwdriver|construction|spanner",
    "pay for the shopping": "cart|credit card|basket|shopping|cash|pay|wallet|bag|receipt",
    "I fell in love": "heart|love|favorite",
    "win first prize": "trophy|medal|award|prize|ribbon|podium|reward",
    "fly to another country": "plane|flight|airport|passport|globe|travel",
    "put out a fire": "fire|extinguisher|flame|hydrant",
    "read a story": "book|read|library",
    "play a game": "game|controller|dice|puzzle|chess|joystick|cards|poker|playing",
    "it is too loud": "volume|mute|ear|loud|noise|speaker|hearing|bell off",
}


def right_answers(query, names):
    """Returns which names are right answers to a query of `PATTERNS`, a mask."""
    pattern = re.compile(rf"\b({PATTERNS[query]})")
    return np.array([bool(pattern.search(str(name))) for name in names])
