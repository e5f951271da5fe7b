//! Managed plugins and checkpoints.

use super::absent;

absent! {
    PLUGIN_CREATE, ["plugin create"], "Make a plugin from a folder", "[OPTIONS] PLUGIN PLUGIN-DATA-DIR", Exactly(2), Post "/plugins/create",
    "compress"
}
absent! {
    PLUGIN_DISABLE, ["plugin disable"], "Disable a plugin", "[OPTIONS] PLUGIN", Exactly(1), Post "/plugins/{}/disable",
    "force,f"
}
absent! {
    PLUGIN_ENABLE, ["plugin enable"], "Enable a plugin", "[OPTIONS] PLUGIN", Exactly(1), Post "/plugins/{}/enable",
    "timeout:int"
}
absent! {
    PLUGIN_INSPECT, ["plugin inspect"], "Show plugins in full", "[OPTIONS] PLUGIN [PLUGIN...]", AtLeast(1), Get "/plugins/{}/json",
    "format,f:string"
}
absent! {
    PLUGIN_INSTALL, ["plugin install"], "Install a plugin", "[OPTIONS] PLUGIN [KEY=VALUE...]", AtLeast(1), Post "/plugins/pull",
    "alias:string disable grant-all-permissions"
}
absent! {
    PLUGIN_LS, ["plugin ls", "plugin list"], "List plugins", "[OPTIONS]", None, Get "/plugins",
    "filter,f:filter format:string no-trunc quiet,q"
}
absent! {
    PLUGIN_PUSH, ["plugin push"], "Push a plugin to a registry", "[OPTIONS] PLUGIN[:TAG]", Exactly(1), Post "/plugins/{}/push",
    ""
}
absent! {
    PLUGIN_RM, ["plugin rm", "plugin remove"], "Remove plugins", "[OPTIONS] PLUGIN [PLUGIN...]", AtLeast(1), Delete "/plugins/{}",
    "force,f"
}
absent! {
    PLUGIN_SET, ["plugin set"], "Change a plugin's settings", "PLUGIN KEY=VALUE [KEY=VALUE...]", AtLeast(2), Post "/plugins/{}/set",
    ""
}
absent! {
    PLUGIN_UPGRADE, ["plugin upgrade"], "Upgrade a plugin", "[OPTIONS] PLUGIN [REMOTE]", Between(1, 2), Post "/plugins/{}/upgrade",
    "grant-all-permissions skip-remote-check"
}
absent! {
    CHECKPOINT_CREATE, ["checkpoint create"], "Write a running container's state to disk", "[OPTIONS] CONTAINER CHECKPOINT", Exactly(2), Post "/containers/{}/checkpoints",
    "checkpoint-dir:string leave-running"
}
absent! {
    CHECKPOINT_LS, ["checkpoint ls", "checkpoint list"], "List the checkpoints of a container", "[OPTIONS] CONTAINER", Exactly(1), Get "/containers/{}/checkpoints",
    "checkpoint-dir:string"
}
absent! {
    CHECKPOINT_RM, ["checkpoint rm", "checkpoint remove"], "Remove a checkpoint", "[OPTIONS] CONTAINER CHECKPOINT", Exactly(2), Delete "/containers/{}/checkpoints/x",
    "checkpoint-dir:string"
}
