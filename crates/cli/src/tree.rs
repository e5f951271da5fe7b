//! The whole tree of commands as clap knows it: for manual pages and completion. Running a command builds only its own.

use clap::{Arg, ArgAction, Command};

use crate::commands::{GROUPS, all};
use crate::usage;

/// The program with all its commands.
pub fn whole(program: &'static str) -> Command {
    let mut root = Command::new(program)
        .about("Builds container images, moves them and runs them")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .arg(Arg::new("host").short('H').long("host").help("Engine to talk to"))
        .arg(Arg::new("context").short('c').long("context").help("Engine to talk to, by its name"))
        .arg(Arg::new("debug").short('D').long("debug").action(ArgAction::SetTrue).help("Say more about what happens"));
    for (group, about) in GROUPS {
        let members = all().filter(|d| d.names[0].strip_prefix(group).is_some_and(|r| r.starts_with(' ')));
        let commands =
            members.filter(|d| !matches!(d.names[0], "system man" | "system dial-stdio")).map(|definition| {
                let others =
                    definition.names[1..].iter().filter_map(|name| name.strip_prefix(group)?.strip_prefix(' '));
                usage::command(definition).visible_aliases(others.collect::<Vec<_>>())
            });
        root = root.subcommand(Command::new(*group).about(*about).disable_help_subcommand(true).subcommands(commands));
    }
    for definition in all() {
        for name in definition.names.iter().filter(|name| !name.contains(' ')) {
            root = root.subcommand(usage::command(definition).name(*name));
        }
    }
    root.subcommand(crate::engine_main::command().name("engine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_make_sense_to_clap() {
        whole("wharf").debug_assert();
    }
}
