"""The counter hash in Python integers: "lowbias32" of C. Wellons, and draws from its upper bits."""

BITS = 2**32
GOLDEN = 0x9E3779B1  # 2**32 / golden ratio, odd
FIRST, SECOND = 0x7FEB352D, 0x846CA68B


def mix(x):
    """Returns lowbias32 of an integer, in [0, 2**32)."""
    x %= BITS
    x = (x ^ (x >> 16)) * FIRST % BITS
    x = (x ^ (x >> 15)) * SECOND % BITS
    return x ^ (x >> 16)


def unmix(x):
    """Returns the integer whose `mix` is `x`."""
    x = (x ^ (x >> 16)) * pow(SECOND, -1, BITS) % BITS
    x = (x ^ (x >> 15) ^ (x >> 30)) * pow(FIRST, -1, BITS) % BITS
    return x ^ (x >> 16)


def key(seed, *counters):
    """Returns the key of a seed and of counters, in [0, 2**32)."""
    first, *others = counters
    result = mix(first + seed * GOLDEN)
    for counter in others:
        result = mix(result * GOLDEN + counter)
    return result


def uniform(key, number):
    """Returns the draw with this number (from 0 on) of a key: 24 bits, at the center of its bin."""
    bits = mix(key + (number + 1) * GOLDEN) >> 8
    return min((bits + 0.5) / 2**24, 1 - 2**-24)
