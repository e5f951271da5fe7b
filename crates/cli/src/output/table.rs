//! Rows as tables, as JSON or through a template, by what `--format` says.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::template::{Map, ROW_KIND, Template, TemplateError, Value};

/// What kind of rows these are.
pub struct Kind {
    /// The rows' type in Docker's formatter, for error messages.
    pub name: &'static str,
    /// The template that stands for `table`.
    pub table: &'static str,
    /// The fields and their headings.
    pub headings: &'static [(&'static str, &'static str)],
}

/// A parsed `--format`.
pub struct Format {
    template: Template,
    table: bool,
    json: bool,
}

impl Format {
    /// Reads what `--format` says; nothing or `table` is the kind's own table, `json` one document per line.
    pub fn parse(format: &str, kind: &Kind) -> Result<Self, TemplateError> {
        let format = format.trim_matches(' ');
        let (table, template) = match format {
            "" | "table" => (true, kind.table),
            "json" => (false, "{{json .}}"),
            _ => match format.strip_prefix("table ") {
                Some(rest) => (true, rest),
                None => (false, format),
            },
        };
        let template = template.trim().replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { template: Template::parse(&template)?, table, json: format == "json" })
    }

    /// Whether rows must have the field, which is dear to compute.
    pub fn wants(&self, field: &str) -> bool {
        self.template.mentions(field)
    }

    /// Whether rows are wanted as JSON documents.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// All rows, each on a line of its own, aligned and with headings if it is a table.
    pub fn render(&self, kind: &Kind, rows: impl IntoIterator<Item = Row>) -> Result<String, TemplateError> {
        let mut out = String::new();
        if self.table {
            out.push_str(&self.template.execute(&heading(kind))?);
            out.push('\n');
        }
        for row in rows {
            out.push_str(&self.template.execute(&row.into_value(kind.name))?);
            out.push('\n');
        }
        Ok(if self.table { crate::output::tabs::align(&out, 10, 3) } else { out })
    }
}

/// A row under construction.
#[derive(Default)]
pub struct Row(Map);

impl Row {
    /// A row without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a method `Label` that looks a label up.
    #[must_use]
    pub fn with_labels<'a>(mut self, labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let labels: BTreeMap<String, String> = labels.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let joined = labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
        let method = move |args: &[Value]| match args {
            [Value::Str(name)] => Ok(labels.get(name.as_ref()).cloned().unwrap_or_default().into()),
            [other] => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
            _ => Err(format!("wrong number of args for %: want 1 got {}", args.len())),
        };
        self.0.insert("Label".into(), Value::Method(Rc::new(method)));
        self.with("Labels", joined)
    }

    fn into_value(mut self, kind: &'static str) -> Value {
        self.0.insert(ROW_KIND.into(), Value::Method(Rc::new(move |_| Ok(kind.into()))));
        Value::Map(Rc::new(self.0))
    }
}

/// The row of headings: fields are their headings, and a label's heading is the last word of its name.
fn heading(kind: &Kind) -> Value {
    let mut row = Row::new();
    for (field, heading) in kind.headings {
        row = row.with(field, *heading);
    }
    let label = |args: &[Value]| match args {
        [Value::Str(name)] => {
            let last = name.rsplit('.').next().unwrap_or(name);
            Ok(last.replace(['-', '_'], " ").into())
        }
        _ => Err(format!("wrong number of args for %: want 1 got {}", args.len())),
    };
    row.0.insert("Label".into(), Value::Method(Rc::new(label)));
    row.into_value(kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind =
        Kind { name: "ThingContext", table: "{{.ID}}\t{{.Name}}", headings: &[("ID", "THING ID"), ("Name", "NAME")] };

    fn render(format: &str) -> String {
        let labels = BTreeMap::from([("com.x.my-key".to_owned(), "v".to_owned())]);
        let row = || Row::new().with("ID", "1").with("Name", "web").with_labels(&labels);
        match Format::parse(format, &KIND).and_then(|f| f.render(&KIND, [row()])) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn formats_render_as_docker_renders_them() {
        for (format, expected) in [
            ("", "THING ID   NAME\n1          web\n"),
            ("table", "THING ID   NAME\n1          web\n"),
            ("json", "{\"ID\":\"1\",\"Labels\":\"com.x.my-key=v\",\"Name\":\"web\"}\n"),
            ("{{.ID}}:{{.Name}}", "1:web\n"),
            (r#"table {{.Name}}\t{{.Label "com.x.my-key"}}"#, "NAME      my key\nweb       v\n"),
            (
                "{{.Foo}}",
                "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.ThingContext",
            ),
        ] {
            assert_eq!(render(format), expected, "{format}");
        }
    }
}
