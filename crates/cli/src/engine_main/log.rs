//! The engine's own log, on standard error: for people, or as one JSON document per line; its level can change.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use wharf_types::{Error, Result};

/// Changes which messages are logged.
pub type SetLevel = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// Begins to log: from `level` on, or by part (`info,wharf_network=debug`).
pub fn begin(level: &str, format: &str) -> Result<SetLevel> {
    let (filter, handle) = reload::Layer::new(targets(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        "json" => tracing_subscriber::registry().with(lines.event_format(Json).with_filter(filter)).init(),
        _ => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            tracing_subscriber::registry().with(lines.with_ansi(ansi).with_filter(filter)).init();
        }
    }
    Ok(Box::new(move |level| {
        let changed = handle.reload(targets(level)?);
        changed.map_err(|error| Error::system("the log level cannot be changed").caused_by(error))
    }))
}

fn targets(level: &str) -> Result<Targets> {
    let level = if level == "fatal" { "error" } else { level };
    level.parse().map_err(|error| {
        Error::invalid(format!("{level:?} is no log level"))
            .with_hint("levels are error, warn, info, debug and trace")
            .caused_by(error)
    })
}

/// One document per line: time, level, target, and what the event says.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut document = Map::new();
        document.insert("time".into(), jiff::Timestamp::now().to_string().into());
        document.insert("level".into(), event.metadata().level().as_str().to_lowercase().into());
        document.insert("target".into(), event.metadata().target().into());
        event.record(&mut Fields(&mut document));
        writeln!(out, "{}", Value::Object(document))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
