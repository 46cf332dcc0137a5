"""List instances to which nothing happens, by what a command makes of them."""

from tests.interleavings.actions import (
    API,
    DEAD,
    HERE,
    LIVE,
    MARKER,
    REQUEST,
    SOFT,
    THERE,
    Action,
    Prefix,
    boot,
    instance,
    mapping,
    step,
)

# Instances to which nothing happens: the outcomes of 0001 that do not stop a stamp.
KINDS = (
    Action(name="mapped", before=(LIVE,)),
    Action(name="mapped-deleted", before=(instance(HERE, **DEAD),)),
    Action(name="mapped-soft", before=(instance(HERE, **SOFT),)),
    Action(name="mapped-ageless", before=(instance(HERE, created_at="NULL"),)),
    Action(name="mapped-userless", before=(instance(HERE, user_id="NULL", **DEAD),)),
    Action(name="already", before=(LIVE, mapping(":here"))),
    Action(name="already-deleted", before=(instance(HERE, **DEAD), mapping(":here"))),
    Action(name="already-userless", before=(LIVE, mapping(":here", user_id="NULL"))),
    Action(name="filled", before=(LIVE, mapping("NULL"))),
    Action(name="in_flight", before=boot()[:2]),
    Action(
        name="hidden",
        before=(
            instance(HERE, hidden="TRUE"),
            instance(THERE),
            mapping(":there"),
        ),
    ),
    Action(
        name="placeholder",
        before=(instance(HERE, uuid="'00000000-0000-0000-0000-000000000000'", **DEAD),),
    ),
    Action(
        name="elsewhere",
        before=(instance(HERE, **DEAD), instance(THERE), mapping(":there")),
    ),
    Action(name="moved", before=(LIVE, mapping(":there"))),
    Action(
        name="moved-back", before=(LIVE, instance(THERE, **DEAD), mapping(":there"))
    ),
    Action(name="theirs", before=(instance(THERE), mapping(":there"))),
)

STILL = [Prefix(action, 0) for action in KINDS]

# Differences that an upgraded cell has later, and a repair corrects.
DAMAGES = (
    Action(name="orphan", before=(mapping(":here"),)),
    Action(name="orphan-deleted", before=(mapping(":here", queued_for_delete="TRUE"),)),
    Action(name="stray", before=(mapping("NULL"),)),
    Action(name="marker", before=(mapping("NULL", project_id=f"'{MARKER}'"),)),
    Action(name="unmapped", before=(LIVE,)),
    Action(name="unmapped-deleted", before=(instance(HERE, **DEAD),)),
    Action(name="unfilled", before=(LIVE, mapping("NULL"))),
    Action(name="misplaced", before=(LIVE, mapping(":there"))),
    Action(
        name="misplaced-deleted",
        before=(LIVE, instance(THERE, **DEAD), mapping(":there")),
    ),
    Action(name="unflagged", before=(instance(HERE, **DEAD), mapping(":here"))),
    Action(name="unflagged-soft", before=(instance(HERE, **SOFT), mapping(":here"))),
    Action(name="userless", before=(LIVE, mapping(":here", user_id="NULL"))),
    Action(name="another-user", before=(LIVE, mapping(":here", user_id="'other'"))),
)

# Instances that are mapped to a cell that does not answer.
UNRESOLVED = (
    Action(name="unresolved", before=(LIVE, mapping(":gone"))),
    Action(
        name="unresolved-deleted", before=(instance(HERE, **DEAD), mapping(":gone"))
    ),
)

# Instances about which an operator must decide.
UNDECIDED = (
    *UNRESOLVED,
    Action(name="conflict", before=(LIVE, instance(THERE), mapping(":there"))),
    Action(name="rejected-project", before=(instance(HERE, project_id="NULL"),)),
    Action(
        name="rejected-deleted", before=(instance(HERE, project_id="NULL", **DEAD),)
    ),
    Action(name="rejected-user", before=(instance(HERE, user_id="NULL"),)),
    Action(
        name="boot-died",
        before=(
            instance(HERE, vm_state="'building'"),
            step(API, mapping("NULL").sql, REQUEST),
        ),
    ),
)
