//! `--check`.

use std::collections::BTreeMap;

use wharf_build::dockerfile::{self, Source, lint};
use wharf_build::ignore::Ignore;

use crate::commands::builder::build::BuildFlags;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Says what could be better in a Dockerfile; fails if there is anything.
pub fn run(name: &str, text: &str, flags: &BuildFlags, ignore: &str) -> Outcome {
    let source = Source::new(name, text);
    let file = dockerfile::parse(&source).map_err(|failure| {
        output::err(&format!("{}\n", failure.excerpt(&source)));
        let error = failure.into_error();
        let hint = error.hint().map(str::to_owned);
        let failure = Failure::new(error.to_string());
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })?;
    let build_args: BTreeMap<String, String> = super::spec::pairs(&flags.build_arg).collect();
    let ignore = Ignore::parse(ignore).map_err(Failure::new)?;
    let warnings = lint::check(&file, &lint::Known { build_args, ignore });
    if warnings.is_empty() {
        output::out("Check complete, no warnings found.\n")?;
        return Ok(0);
    }
    let count = warnings.len();
    let word = if count == 1 { "warning has" } else { "warnings have" };
    output::out(&format!("Check complete, {count} {word} been found!\n\n"))?;
    for warning in &warnings {
        output::out(&format!("{}\n", warning.render(&source)))?;
    }
    Ok(1)
}
