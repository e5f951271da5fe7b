//! Fills a parsed template with data.

use std::rc::Rc;

use super::parser::{Command, Node, Operand, OperandKind, Pipeline};
use super::{TemplateError, funcs, value::Value};

/// How much a template may write, so that no nest of loops exhausts the memory.
const MAX_OUTPUT: usize = 64 << 20;

/// Fills the nodes with `data`.
pub fn execute(source: &str, nodes: &[Node], data: &Value) -> Result<String, TemplateError> {
    let mut state = State { source, out: String::new(), variables: vec![("$".into(), data.clone())] };
    state.run(nodes, data)?;
    Ok(state.out)
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'a> {
    source: &'a str,
    out: String,
    variables: Vec<(String, Value)>,
}

type Executed<T> = Result<T, TemplateError>;

impl State<'_> {
    fn run(&mut self, nodes: &[Node], dot: &Value) -> Executed<Flow> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::Next
                }
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.print(pipeline, &value)?;
                    }
                    Flow::Next
                }
                Node::If { with, condition, then, otherwise } => self.branch(*with, condition, then, otherwise, dot)?,
                Node::Range { over, body, otherwise } => self.range(over, body, otherwise, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, pipeline: &Pipeline, value: &Value) -> Executed<()> {
        if let Value::Method(_) = value {
            let command = &pipeline.commands[0];
            return Err(self.error(command.at, &command.shown, &format!("can't print {} of type func", command.shown)));
        }
        value.print(&mut self.out);
        if self.out.len() > MAX_OUTPUT {
            return Err(self.error(pipeline.commands[0].at, &pipeline.commands[0].shown, "the result is too large"));
        }
        Ok(())
    }

    fn branch(
        &mut self,
        with: bool,
        condition: &Pipeline,
        then: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Executed<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(condition, dot)?;
        let flow = match (value.is_true(), with) {
            (true, true) => self.run(then, &value),
            (true, false) => self.run(then, dot),
            (false, _) => self.run(otherwise, dot),
        }?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Executed<Flow> {
        let outer = self.variables.len();
        let value = self.pipeline_value(over, dot)?;
        let items = self.items(over, &value)?;
        if items.is_empty() {
            let flow = self.run(otherwise, dot)?;
            self.variables.truncate(outer);
            return Ok(flow);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            match over.variables.as_slice() {
                [only] => self.bind(over.assigns, only, item.clone()),
                [first, second] => {
                    self.bind(over.assigns, first, key);
                    self.bind(over.assigns, second, item.clone());
                }
                _ => {}
            }
            let flow = self.run(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(outer);
        Ok(Flow::Next)
    }

    fn items(&self, over: &Pipeline, value: &Value) -> Executed<Vec<(Value, Value)>> {
        let numbered = |(i, v): (usize, &Value)| (Value::Int(i64::try_from(i).unwrap_or(i64::MAX)), v.clone());
        match value {
            Value::List(items) => Ok(items.iter().enumerate().map(numbered).collect()),
            Value::Map(fields) => Ok(fields.iter().map(|(k, v)| (k.as_str().into(), v.clone())).collect()),
            Value::Nil(_) => Ok(Vec::new()),
            Value::Int(n) => Ok((0..(*n).min(1 << 20)).map(|i| (Value::Int(i), Value::Int(i))).collect()),
            other => {
                let command = over.commands.last().unwrap_or(&over.commands[0]);
                Err(self.error(command.at, &command.shown, &format!("range can't iterate over {other}")))
            }
        }
    }

    /// The value of a pipeline, which its variables take.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Executed<Value> {
        let value = self.pipeline_value(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(pipeline.assigns, name, value.clone());
        }
        Ok(value)
    }

    fn pipeline_value(&mut self, pipeline: &Pipeline, dot: &Value) -> Executed<Value> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::NONE))
    }

    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Executed<Value> {
        let first = &command.operands[0];
        if let OperandKind::Function(name) = &first.kind {
            let value = self.call(name, command, dot, last)?;
            return self.fields(first, value, &first.fields);
        }
        let rest = &command.operands[1..];
        if matches!(first.kind, OperandKind::Nil) {
            return Err(self.error(first.at, "nil", "nil is not a command"));
        }
        let value = self.raw_operand(first, dot)?;
        if let Value::Method(method) = value {
            let arguments = self.arguments(rest, dot, last)?;
            let what = first.fields.last().map_or(first.shown.as_str(), String::as_str);
            return method(&arguments).map_err(|e| self.error(first.at, &first.shown, &e.replace("%", what)));
        }
        let count = rest.len() + usize::from(last.is_some());
        match (&first.kind, first.fields.last()) {
            _ if count == 0 => Ok(value),
            (OperandKind::Dot | OperandKind::Variable(_), Some(name)) => {
                let what = format!("wrong number of args for {name}: want 0 got {count}");
                Err(self.error(first.at, &first.shown, &what))
            }
            _ => {
                let what = format!("can't give argument to non-function {}", first.shown);
                Err(self.error(first.at, &first.shown, &what))
            }
        }
    }

    fn call(&mut self, name: &str, command: &Command, dot: &Value, last: Option<Value>) -> Executed<Value> {
        let rest = &command.operands[1..];
        if matches!(name, "and" | "or") {
            return self.short_circuit(name, command, dot, last);
        }
        let arguments = self.arguments(rest, dot, last)?;
        funcs::call(name, &arguments).map_err(|e| match e {
            funcs::CallError::Count(what) => self.error(command.at, name, &what),
            funcs::CallError::Argument(i, what) => {
                let (at, shown) = rest.get(i).map_or((command.at, &command.shown), |o| (o.at, &o.shown));
                self.error(at, shown, &what)
            }
            funcs::CallError::Failed(what) => {
                self.error(command.at, &command.shown, &format!("error calling {name}: {what}"))
            }
        })
    }

    /// `and` and `or` evaluate no more than they need.
    fn short_circuit(&mut self, name: &str, command: &Command, dot: &Value, last: Option<Value>) -> Executed<Value> {
        let mut value = None;
        for operand in &command.operands[1..] {
            let current = self.operand(operand, dot)?;
            if current.is_true() == (name == "or") {
                return Ok(current);
            }
            value = Some(current);
        }
        last.or(value).ok_or_else(|| {
            self.error(command.at, name, &format!("wrong number of args for {name}: want at least 1 got 0"))
        })
    }

    fn arguments(&mut self, operands: &[Operand], dot: &Value, last: Option<Value>) -> Executed<Vec<Value>> {
        let mut values = operands.iter().map(|o| self.operand(o, dot)).collect::<Executed<Vec<_>>>()?;
        values.extend(last);
        Ok(values)
    }

    /// An operand as an argument: methods without arguments are called.
    fn operand(&mut self, operand: &Operand, dot: &Value) -> Executed<Value> {
        match self.raw_operand(operand, dot)? {
            Value::Method(method) => {
                let what = operand.fields.last().map_or(operand.shown.as_str(), String::as_str);
                method(&[]).map_err(|e| self.error(operand.at, &operand.shown, &e.replace("%", what)))
            }
            value => Ok(value),
        }
    }

    fn raw_operand(&mut self, operand: &Operand, dot: &Value) -> Executed<Value> {
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Variable(name) => self.lookup(name),
            OperandKind::Constant(value) => value.clone(),
            OperandKind::Nil => Value::Nil("<nil>"),
            OperandKind::Function(name) => {
                let command = Command { operands: vec![operand.clone()], shown: operand.shown.clone(), at: operand.at };
                self.call(name, &command, dot, None)?
            }
            OperandKind::Parens(inner) => self.pipeline(inner, dot)?,
        };
        self.fields(operand, value, &operand.fields)
    }

    fn fields(&self, operand: &Operand, mut value: Value, fields: &[String]) -> Executed<Value> {
        for (i, name) in fields.iter().enumerate() {
            let at = if i == 0 { operand.at } else { operand.field_at };
            let fail = |what: String| Err(self.error(at, &operand.shown, &what));
            value = match &value {
                Value::Map(map) => match map.get(name) {
                    Some(found) => found.clone(),
                    None => return fail(missing(map, name)),
                },
                Value::Nil(_) => return fail(format!("nil data; no entry for key {name:?}")),
                other => return fail(format!("can't evaluate field {name} in type {}", other.type_name())),
            };
        }
        Ok(value)
    }

    fn lookup(&self, name: &str) -> Value {
        self.variables.iter().rev().find(|(n, _)| n == name).map_or(Value::NONE, |(_, v)| v.clone())
    }

    fn bind(&mut self, assigns: bool, name: &str, value: Value) {
        match self.variables.iter_mut().rev().find(|(n, _)| assigns && n == name) {
            Some((_, slot)) => *slot = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn error(&self, at: usize, node: &str, what: &str) -> TemplateError {
        TemplateError::exec(self.source, at, node, what)
    }
}

/// Rows say of which kind they are under [`ROW_KIND`]; documents do not.
fn missing(map: &Rc<super::Map>, name: &str) -> String {
    match map.get(ROW_KIND) {
        Some(Value::Method(kind)) => {
            let kind = kind(&[]).map(|k| k.to_string()).unwrap_or_default();
            format!("can't evaluate field {name} in type *formatter.{kind}")
        }
        _ => format!("map has no entry for key {name:?}"),
    }
}

/// The name under which a row's map holds a method that answers the row's type name, for error messages.
pub const ROW_KIND: &str = "\u{0}kind";
