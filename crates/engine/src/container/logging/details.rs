//! What log messages say about their container: the tag, labels, variables.

use regex_lite::Regex;
use wharf_types::{Error, Result};

use super::{Options, options, text};
use crate::container::record::Record;

/// What log messages say about their container.
pub struct Details {
    /// The tag, as the person wants it or as Docker's default has it: the short id.
    pub tag: String,
    /// Whether the person asked for a tag.
    tagged: bool,
    /// Labels and variables that were asked for.
    pub extra: Vec<(String, String)>,
}

impl Details {
    /// What a json-file says with every line.
    pub fn attributes(&self) -> Vec<(String, String)> {
        let tag = self.tagged.then(|| ("tag".to_owned(), self.tag.clone()));
        self.extra.iter().cloned().chain(tag).collect()
    }
}

/// What a container's log options ask for.
///
/// # Errors
/// `InvalidParameter` for a tag or an expression that cannot be understood.
pub fn of(record: &Record) -> Result<Details> {
    let options = options(record);
    let template = text(options, "tag");
    let tag = if template.is_empty() { record.id.short() } else { expand(template, record)? };
    Ok(Details { tag, tagged: !template.is_empty(), extra: extra(options, record)? })
}

fn extra(options: &Options, record: &Record) -> Result<Vec<(String, String)>> {
    let mut extra = Vec::new();
    let labels = record.config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    choose(options, "labels", labels, &mut extra)?;
    let variables = record.config.env.iter().filter_map(|variable| variable.split_once('='));
    choose(options, "env", variables, &mut extra)?;
    Ok(extra)
}

fn choose<'a>(
    options: &Options,
    kind: &str,
    all: impl Iterator<Item = (&'a str, &'a str)>,
    extra: &mut Vec<(String, String)>,
) -> Result<()> {
    let named: Vec<&str> = text(options, kind).split(',').filter(|name| !name.is_empty()).collect();
    let expression = text(options, &format!("{kind}-regex"));
    let expression = match expression {
        "" => None,
        text => Some(Regex::new(text).map_err(|error| Error::invalid(format!("{kind}-regex: {error}")))?),
    };
    let wanted = |name: &str| named.contains(&name) || expression.as_ref().is_some_and(|regex| regex.is_match(name));
    extra.extend(all.filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(())
}

/// Puts values in the place of `{{.Name}}` and the like.
fn expand(template: &str, record: &Record) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or_else(|| Error::invalid(format!("the log tag {template:?} does not close what it opens")))?;
        out.push_str(before);
        out.push_str(&value(inside.trim(), record)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(field: &str, record: &Record) -> Result<String> {
    let image = record.image.to_string();
    let bare = image.split_once(':').map_or(image.as_str(), |(_, digits)| digits).to_owned();
    Ok(match field {
        ".ID" => record.id.short(),
        ".FullID" => record.id.to_string(),
        ".Name" => record.name.clone(),
        ".FullName" => format!("/{}", record.name),
        ".ImageID" => bare.chars().take(12).collect(),
        ".ImageFullID" => image,
        ".ImageName" => record.config.image.clone(),
        ".DaemonName" => "docker".to_owned(),
        ".Command" => record.argv().join(" "),
        ".Hostname" => hostname(),
        other => {
            return Err(Error::invalid(format!("the log tag names {{{{{other}}}}}, which is nothing known"))
                .with_hint("use .ID, .FullID, .Name, .ImageID, .ImageFullID, .ImageName, .Command or .DaemonName"));
        }
    })
}

/// The host's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
