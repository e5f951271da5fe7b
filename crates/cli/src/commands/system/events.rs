//! `events`: what happens in the engine.

use clap::Args;
use wharf_api::event::Message;
use wharf_client::EventOptions;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::{Failure, Outcome};
use crate::grammar::time;
use crate::output;
use crate::template::{Template, Value};

/// What `events` takes.
#[derive(Debug, Args)]
pub struct EventsFlags {
    /// Which (type=container, event=die, label=KEY=VALUE, ...)
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// From this time on
    #[arg(long)]
    since: Option<String>,
    /// Up to this time
    #[arg(long)]
    until: Option<String>,
}

definition! {
    EventsFlags, events,
    names: &["system events", "events"],
    about: "Show what happens in the engine, as it happens",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn events(app: &App, flags: EventsFlags) -> Outcome {
    let template = match flags.format.as_deref().unwrap_or_default() {
        "" => None,
        "json" => Some(Template::parse("{{json .}}")?),
        text => {
            Some(Template::parse(text).map_err(|e| Failure::new(format!("Error parsing format: {e}")).with_code(64))?)
        }
    };
    let now = jiff::Timestamp::now();
    let point = |text: &Option<String>| {
        text.as_deref().map(|text| time::timestamp(text, now)).transpose().map_err(Failure::new)
    };
    let options =
        EventOptions { since: point(&flags.since)?, until: point(&flags.until)?, filters: filters(&flags.filter)? };
    let mut events = app.client().await?.events(&options).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        let line = match &template {
            None => describe(&event),
            Some(template) => {
                let json = serde_json::to_value(&event).map_err(|error| Failure::new(error.to_string()))?;
                template.execute(&Value::from_json(&json))?
            }
        };
        output::out(&format!("{line}\n"))?;
    }
    Ok(0)
}

/// `TIME TYPE ACTION ID (NAME=VALUE, ...)`.
fn describe(event: &Message) -> String {
    let nanoseconds =
        if event.time_nano != 0 { i128::from(event.time_nano) } else { i128::from(event.time) * 1_000_000_000 };
    let time = jiff::Timestamp::from_nanosecond(nanoseconds).map_or_else(
        |_| event.time.to_string(),
        |time| time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string(),
    );
    let time = time.strip_suffix("+00:00").map_or(time.clone(), |utc| format!("{utc}Z"));
    let mut line = format!("{time} {} {} {}", event.kind, event.action, event.actor.id);
    if !event.actor.attributes.is_empty() {
        let pairs: Vec<String> = event.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line.push_str(&format!(" ({})", pairs.join(", ")));
    }
    line
}
