//! Help texts of the runtime.

use super::words::FLAGS;

const ABOUT: &[(&str, &str, &str)] = &[
    ("create", "[OPTIONS] ID", "Make a container from a bundle; its program waits for 'start'"),
    ("start", "ID", "Let the program of a created container run"),
    ("run", "[OPTIONS] ID", "Make a container, run its program and stay with it"),
    ("exec", "[OPTIONS] ID COMMAND [ARG...]", "Run a further process in a container"),
    ("state", "ID", "Print a container's state"),
    ("kill", "[OPTIONS] ID [SIGNAL]", "Send a signal to a container's first process (default SIGTERM)"),
    ("delete", "[OPTIONS] ID", "Remove a container that has ended"),
    ("list", "[OPTIONS]", "List containers"),
    ("ps", "[OPTIONS] ID", "List the processes of a container"),
    ("pause", "ID", "Freeze a container's processes"),
    ("resume", "ID", "Let frozen processes run again"),
    ("update", "[OPTIONS] ID", "Change a container's limits"),
    ("events", "[OPTIONS] ID", "Print a container's figures, and when memory ran out"),
    ("features", "", "Print what this runtime can do"),
    ("spec", "[OPTIONS]", "Write a config.json to begin with"),
];

/// The runtime's own help.
pub fn whole(called: &str) -> String {
    let mut text = format!(
        "Usage:  {called} [GLOBAL OPTIONS] COMMAND\n\nRuns containers from OCI bundles (runtime-spec {}), without an engine\n\n\
         Commands:\n",
        wharf_runtime::VERSION
    );
    for (name, _, about) in ABOUT {
        text.push_str(&format!("  {name:<10} {about}\n"));
    }
    text.push_str(
        "\nGlobal Options:\n  \
         --root DIR           Where containers are remembered (default /run/wharf-runtime)\n  \
         --log FILE           Write failures there as well\n  \
         --log-format FORMAT  \"text\" or \"json\"\n  \
         --systemd-cgroup     cgroupsPath is of the form slice:prefix:name\n  \
         --version            Print the version\n",
    );
    text
}

/// A command's help.
pub fn of(called: &str, command: &str) -> String {
    let (_, usage, about) = ABOUT.iter().find(|(name, _, _)| *name == command).unwrap_or(&("", "", ""));
    let mut text = format!("Usage:  {called} {command} {usage}\n\n{about}\n");
    let flags = FLAGS.iter().find(|(name, _)| *name == command).map_or(&[][..], |(_, flags)| flags);
    if flags.len() > 1 {
        text.push_str("\nOptions:\n");
    }
    for (names, takes_value) in flags.iter().filter(|(names, _)| names[0] != "help") {
        let spelt = |name: &&str| if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
        let names: Vec<String> = names.iter().map(spelt).collect();
        text.push_str(&format!("  {}{}\n", names.join(", "), if *takes_value { " VALUE" } else { "" }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_explained() {
        for (name, _) in FLAGS.iter().filter(|(name, _)| !matches!(*name, "checkpoint" | "restore")) {
            assert!(whole("wharf runtime").contains(&format!("  {name} ")), "{name}");
            assert!(of("wharf runtime", name).lines().count() >= 3, "{name}");
        }
    }
}
