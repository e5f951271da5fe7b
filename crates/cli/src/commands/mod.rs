//! All commands: one file each, and the one table that names them.

use std::future::Future;
use std::pin::Pin;

use clap::{ArgMatches, Command, FromArgMatches};

use crate::app::App;
use crate::failure::{Failure, Outcome};

mod absent;
pub mod builder;
mod container;
mod context;
mod image;
mod manifest;
mod network;
mod registry;
mod system;
mod volume;

/// A command under way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A command as the table knows it.
pub struct Definition {
    /// The names it goes by, the proper one first: `container ls`, `container list`, `ps`.
    pub names: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
    /// What stands behind its name.
    pub usage: &'static str,
    /// How many words it takes.
    pub arity: Arity,
    /// Adds its flags and words.
    pub args: fn(Command) -> Command,
    /// Does it.
    pub run: for<'a> fn(&'a App, ArgMatches) -> Pending<'a>,
}

/// How many words a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// None at all.
    None,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// From so many to so many.
    Between(usize, usize),
}

/// Groups of commands, as `wharf container`.
pub const GROUPS: &[(&str, &str)] = &[
    ("builder", "Manage builds"),
    ("buildx", "Manage builds, as Docker's plugin calls them"),
    ("container", "Manage containers"),
    ("context", "Manage contexts: engines by name"),
    ("image", "Manage images"),
    ("manifest", "Manage manifests and indexes in registries"),
    ("network", "Manage networks"),
    ("registry", "Serve images to others"),
    ("system", "Manage the engine"),
    ("checkpoint", "Manage checkpoints"),
    ("config", "Manage configurations of a swarm"),
    ("node", "Manage nodes of a swarm"),
    ("plugin", "Manage plugins"),
    ("secret", "Manage secrets of a swarm"),
    ("service", "Manage services of a swarm"),
    ("stack", "Manage stacks of a swarm"),
    ("swarm", "Manage a swarm"),
    ("volume", "Manage volumes"),
];

/// Every command that wharf does.
const DEFINITIONS: &[&Definition] = &[
    &builder::build::DEFINITION,
    &builder::du::DEFINITION,
    &builder::prune::DEFINITION,
    &container::attach::DEFINITION,
    &container::commit::DEFINITION,
    &container::cp::DEFINITION,
    &container::create::DEFINITION,
    &container::diff::DEFINITION,
    &container::exec::DEFINITION,
    &container::export::DEFINITION,
    &container::inspect::DEFINITION,
    &container::kill::DEFINITION,
    &container::logs::DEFINITION,
    &container::ls::DEFINITION,
    &container::pause::DEFINITION,
    &container::port::DEFINITION,
    &container::prune::DEFINITION,
    &container::rename::DEFINITION,
    &container::restart::DEFINITION,
    &container::rm::DEFINITION,
    &container::run::DEFINITION,
    &container::start::DEFINITION,
    &container::stats::DEFINITION,
    &container::stop::DEFINITION,
    &container::top::DEFINITION,
    &container::unpause::DEFINITION,
    &container::update::DEFINITION,
    &container::wait::DEFINITION,
    &context::carry::DEFINITION,
    &context::carry::import::DEFINITION,
    &context::create::DEFINITION,
    &context::create::update::DEFINITION,
    &context::inspect::DEFINITION,
    &context::ls::DEFINITION,
    &context::rm::DEFINITION,
    &context::select::DEFINITION,
    &context::select::show::DEFINITION,
    &image::bootstrap::DEFINITION,
    &image::history::DEFINITION,
    &image::import::DEFINITION,
    &image::inspect::DEFINITION,
    &image::load::DEFINITION,
    &image::ls::DEFINITION,
    &image::prune::DEFINITION,
    &image::pull::DEFINITION,
    &image::push::DEFINITION,
    &image::rm::DEFINITION,
    &image::save::DEFINITION,
    &image::search::DEFINITION,
    &image::tag::DEFINITION,
    &manifest::create::DEFINITION,
    &manifest::draft::ANNOTATE,
    &manifest::draft::CREATE,
    &manifest::draft::PUSH,
    &manifest::draft::RM,
    &manifest::inspect::DEFINITION,
    &network::connect::DEFINITION,
    &network::create::DEFINITION,
    &network::disconnect::DEFINITION,
    &network::inspect::DEFINITION,
    &network::ls::DEFINITION,
    &network::prune::DEFINITION,
    &network::rm::DEFINITION,
    &registry::login::DEFINITION,
    &registry::logout::DEFINITION,
    &system::certificates::DEFINITION,
    &system::check::DEFINITION,
    &registry::serve::DEFINITION,
    &system::completion::DEFINITION,
    &system::df::DEFINITION,
    &system::dial_stdio::DEFINITION,
    &system::doctor::DEFINITION,
    &system::events::DEFINITION,
    &system::info::DEFINITION,
    &system::inspect::DEFINITION,
    &system::man::DEFINITION,
    &system::prune::DEFINITION,
    &system::version::DEFINITION,
    &volume::create::DEFINITION,
    &volume::inspect::DEFINITION,
    &volume::ls::DEFINITION,
    &volume::prune::DEFINITION,
    &volume::rm::DEFINITION,
];

/// Every command, and those of Docker's that wharf's engine does not do.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter().chain(absent::DEFINITIONS).copied()
}

/// Whether it is one that wharf's engine does not do.
#[cfg(test)]
pub fn is_absent(definition: &Definition) -> bool {
    absent::DEFINITIONS.iter().any(|absent| absent.names == definition.names)
}

/// What the first words name.
pub enum Found {
    /// A command, and how many words its name takes.
    Command(&'static Definition, usize),
    /// A group of commands.
    Group(&'static str),
    /// Nothing that is known.
    Nothing,
}

/// Finds the command that the words begin with.
pub fn find(words: &[String]) -> Found {
    let by_name = |name: &str| all().find(|d| d.names.contains(&name));
    let Some(first) = words.first() else { return Found::Nothing };
    if let Some((group, _)) = GROUPS.iter().find(|(name, _)| name == first) {
        return match words.get(1) {
            Some(second) => by_name(&format!("{group} {second}")).map_or(Found::Group(group), |d| Found::Command(d, 2)),
            None => Found::Group(group),
        };
    }
    by_name(first).map_or(Found::Nothing, |definition| Found::Command(definition, 1))
}

/// Fills a command's flags from what clap has read.
pub fn fill<T: FromArgMatches>(mut matches: ArgMatches) -> Outcome<T> {
    T::from_arg_matches_mut(&mut matches).map_err(|error| Failure::new(error.to_string()))
}

/// The [`Definition::args`] and [`Definition::run`] of a command with these flags and this function.
macro_rules! definition {
    (
        $flags:ty, $run:path, names: $names:expr, about: $about:expr, usage: $usage:expr, arity: $arity:expr $(,)?
    ) => {
        /// The command as the table knows it.
        pub const DEFINITION: crate::commands::Definition = crate::commands::Definition {
            names: $names,
            about: $about,
            usage: $usage,
            arity: $arity,
            args: <$flags as clap::Args>::augment_args,
            run: {
                fn call<'a>(app: &'a crate::app::App, matches: clap::ArgMatches) -> crate::commands::Pending<'a> {
                    Box::pin(async move { $run(app, crate::commands::fill::<$flags>(matches)?).await })
                }
                call
            },
        };
    };
}
use definition;

/// Does something with each object, prints the name of each success, reports each failure, and fails in the end if
/// there was one.
async fn each<'a, F, R>(app: &App, objects: &'a [String], mut act: F) -> Outcome
where
    F: FnMut(&'a String) -> R,
    R: Future<Output = Outcome<()>>,
{
    let mut code = 0;
    for object in objects {
        match act(object).await {
            Ok(()) => crate::output::out(&format!("{object}\n"))?,
            Err(failure) => {
                app.report(&failure);
                code = code.max(failure.code);
            }
        }
    }
    Ok(code)
}

/// What `--filter NAME=VALUE` asks for.
fn filters(texts: &[String]) -> Outcome<wharf_api::filters::Filters> {
    let mut filters = wharf_api::filters::Filters::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let wrong = || {
            Failure::new(format!(
                "invalid argument {text:?} for \"-f, --filter\" flag: bad format of filter (expected name=value)"
            ))
            .with_code(125)
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        filters.add(name.trim().to_ascii_lowercase(), value.trim());
    }
    Ok(filters)
}
