"""What of the load board lies in Redis: the names of its keys, and the scripts that change them.

Each script is atomic, takes one round trip, and reads Redis' own clock. They run on Redis 6 and later and on Valkey.
"""

from dataclasses import dataclass

__all__ = ["LEAVE", "PUBLISH", "TIME_AND_FORGET", "TOUCH", "Keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one cluster's keys.

    Attributes:
        loads: hash, replica -> serialized `niyama.v1.ReplicaLoad`.
        members: sorted set of replicas, scored by their last sign of life, in seconds of Redis' clock.
        changes: channel; a message is the change and the replica, for example `joined llama-0`.
    """

    loads: str
    members: str
    changes: str

    @classmethod
    def of(cls, cluster: str) -> "Keys":
        """Return the keys of `cluster` (namespace/name). The braces keep them on one node of a Redis Cluster."""
        prefix = f"niyama:{{{cluster}}}"
        return cls(loads=f"{prefix}:loads", members=f"{prefix}:members", changes=f"{prefix}:changes")


# KEYS: loads, members. ARGV: replica, load, change to announce or '', channel, seconds until all is forgotten.
PUBLISH = """
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local joined = redis.call('ZADD', KEYS[2], string.format('%d.%06d', t[1], t[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
local change = ARGV[3]
if change == '' and joined == 1 then change = 'joined' end
if change ~= '' then redis.call('PUBLISH', ARGV[4], change .. ' ' .. ARGV[1]) end
"""

# KEYS: members. ARGV: replica.
TOUCH = """
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', string.format('%d.%06d', t[1], t[2]), ARGV[1])
"""

# KEYS: loads, members. ARGV: replica, channel.
LEAVE = """
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[2], 'left ' .. ARGV[1]) end
"""

# KEYS: loads, members. ARGV: seconds of silence after which a member is forgotten.
TIME_AND_FORGET = """
local t = redis.call('TIME')
local bound = string.format('%d.%06d', t[1] - ARGV[1], t[2])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', bound, 'LIMIT', 0, 1000)
if #gone > 0 then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
return t
"""
