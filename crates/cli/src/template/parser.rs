//! Builds the tree of a template from its tokens.

use super::TemplateError;
use super::lexer::{Spanned, Token, tokens};
use super::{funcs, value::Value};

/// A part of a template.
#[derive(Clone)]
pub enum Node {
    /// Text that is copied.
    Text(String),
    /// A pipeline whose value is printed, unless it declares or assigns a variable.
    Print(Pipeline),
    /// `{{if}}` or `{{with}}`.
    If { with: bool, condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    /// `{{range}}`.
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    /// `{{break}}`.
    Break,
    /// `{{continue}}`.
    Continue,
}

/// Commands whose results are handed on by `|`.
#[derive(Clone)]
pub struct Pipeline {
    /// Variables that take the value.
    pub variables: Vec<String>,
    /// The variables exist already.
    pub assigns: bool,
    /// The commands in order.
    pub commands: Vec<Command>,
}

/// A function or value and its arguments.
#[derive(Clone)]
pub struct Command {
    /// The operands; the first one may be a function.
    pub operands: Vec<Operand>,
    /// Its words in the template, for error messages.
    pub shown: String,
    /// Byte offset.
    pub at: usize,
}

/// A word of a command.
#[derive(Clone)]
pub struct Operand {
    /// What it is.
    pub kind: OperandKind,
    /// Fields that are taken from it.
    pub fields: Vec<String>,
    /// Its text in the template.
    pub shown: String,
    /// Byte offset.
    pub at: usize,
    /// Byte offset of the last field, at which Go reports errors.
    pub field_at: usize,
}

/// The kinds of words in a command.
#[derive(Clone)]
pub enum OperandKind {
    /// `.` or a field of it.
    Dot,
    /// `$x`.
    Variable(String),
    /// A constant.
    Constant(Value),
    /// `nil`.
    Nil,
    /// A function's name.
    Function(String),
    /// A pipeline in parentheses.
    Parens(Box<Pipeline>),
}

/// How deep blocks and parentheses may nest, so that no template exhausts the stack.
const MAX_DEPTH: usize = 100;

/// Parses a whole template.
pub fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = tokens(source)?;
    let mut parser = Parser { source, tokens, next: 0, variables: vec!["$".into()], loops: 0, depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        Stop::Eof => Ok(nodes),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else => Err(parser.error("unexpected {{else}}")),
    }
}

/// Whether any pipeline uses the field.
pub fn mentions(nodes: &[Node], field: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Print(pipeline) => pipeline.mentions(field),
        Node::If { condition: head, then: body, otherwise, .. } | Node::Range { over: head, body, otherwise } => {
            head.mentions(field) || mentions(body, field) || mentions(otherwise, field)
        }
    })
}

impl Pipeline {
    fn mentions(&self, field: &str) -> bool {
        self.commands.iter().flat_map(|command| &command.operands).any(|operand| {
            let whole_row = matches!(operand.kind, OperandKind::Dot) && operand.fields.is_empty();
            let inner = matches!(&operand.kind, OperandKind::Parens(inner) if inner.mentions(field));
            whole_row || inner || operand.fields.iter().any(|name| name == field)
        })
    }
}

/// What ended a block.
#[derive(Clone, Copy)]
enum Stop {
    Eof,
    End,
    Else,
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Spanned>,
    next: usize,
    variables: Vec<String>,
    loops: usize,
    depth: usize,
}

type Parsed<T> = Result<T, TemplateError>;

impl Parser<'_> {
    /// Nodes up to `{{end}}`, `{{else` or the end of the template.
    fn block(&mut self) -> Parsed<(Vec<Node>, Stop)> {
        self.nest()?;
        let mut nodes = Vec::new();
        let end = loop {
            match self.take() {
                None => break Stop::Eof,
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => match self.peek_word() {
                    Some("end") => {
                        self.next += 1;
                        self.close("end")?;
                        break Stop::End;
                    }
                    Some("else") => {
                        self.next += 1;
                        break Stop::Else;
                    }
                    _ => nodes.extend(self.action()?),
                },
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(&mut self) -> Parsed<Option<Node>> {
        let keyword = self.peek_word().map(str::to_owned);
        let node = match keyword.as_deref() {
            Some("if") => self.conditional("if", false)?,
            Some("with") => self.conditional("with", true)?,
            Some("range") => self.range()?,
            Some(word @ ("break" | "continue")) => {
                self.next += 1;
                if self.loops == 0 {
                    return Err(self.error(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close(word)?;
                if word == "break" { Node::Break } else { Node::Continue }
            }
            Some(word @ ("define" | "template" | "block")) => {
                return Err(self.error(&format!("{{{{{word}}}}} is not supported in a format")));
            }
            _ => Node::Print(self.pipeline("command", &Token::Close)?),
        };
        Ok(Some(node))
    }

    fn conditional(&mut self, context: &str, with: bool) -> Parsed<Node> {
        self.next += 1;
        let scope = self.variables.len();
        let condition = self.pipeline(context, &Token::Close)?;
        let (then, end) = self.block()?;
        let otherwise = self.otherwise(end, context)?;
        self.variables.truncate(scope);
        Ok(Node::If { with, condition, then, otherwise })
    }

    fn range(&mut self) -> Parsed<Node> {
        self.next += 1;
        let scope = self.variables.len();
        let over = self.pipeline("range", &Token::Close)?;
        self.loops += 1;
        let (body, end) = self.block()?;
        self.loops -= 1;
        let otherwise = self.otherwise(end, "range")?;
        self.variables.truncate(scope);
        Ok(Node::Range { over, body, otherwise })
    }

    /// What follows the first block of a control structure: nothing, `{{else}}` or `{{else if}}`.
    fn otherwise(&mut self, end: Stop, context: &str) -> Parsed<Vec<Node>> {
        match end {
            Stop::Eof => Err(self.error("unexpected EOF")),
            Stop::End => Ok(Vec::new()),
            Stop::Else if context != "range" && self.peek_word() == Some(context) => {
                self.nest()?;
                let chained = self.conditional(context, context == "with")?;
                self.depth -= 1;
                Ok(vec![chained])
            }
            Stop::Else => {
                self.close("else")?;
                let (nodes, end) = self.block()?;
                match end {
                    Stop::End => Ok(nodes),
                    Stop::Else => Err(self.error("expected end; found {{else}}")),
                    Stop::Eof => Err(self.error("unexpected EOF")),
                }
            }
        }
    }

    fn pipeline(&mut self, context: &str, end: &Token) -> Parsed<Pipeline> {
        self.nest()?;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.error("unclosed action")),
                Some(token) if token == end => {
                    self.next += 1;
                    break;
                }
                Some(Token::Pipe) if commands.is_empty() => return Err(self.unexpected("|", context)),
                Some(Token::Pipe) => self.next += 1,
                Some(Token::Close) => return Err(self.error("unclosed left paren")),
                Some(Token::RightParen) => return Err(self.error("unexpected right paren")),
                Some(Token::Comma) => return Err(self.unexpected(",", context)),
                Some(Token::Declare) => return Err(self.unexpected(":=", context)),
                Some(Token::Assign) => return Err(self.unexpected("=", context)),
                Some(_) => commands.push(self.command(context)?),
            }
        }
        self.depth -= 1;
        if commands.is_empty() {
            return Err(self.error(&format!("missing value for {context}")));
        }
        for (i, command) in commands.iter().enumerate().skip(1) {
            if matches!(command.operands[0].kind, OperandKind::Constant(_) | OperandKind::Nil) {
                return Err(self.error(&format!("non executable command in pipeline stage {}", i + 1)));
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assigns, commands })
    }

    /// `$x :=`, `$x =` or, in a range, `$i, $x :=`.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<String>, bool)> {
        let Some(Token::Variable(first)) = self.peek().cloned() else { return Ok((Vec::new(), false)) };
        let after = |n: usize| self.tokens.get(self.next + n).map(|t| &t.token);
        let (names, length) = match (after(1), after(2)) {
            (Some(Token::Comma), Some(Token::Variable(second))) if context == "range" => {
                (vec![first, second.clone()], 3)
            }
            _ => (vec![first], 1),
        };
        let assigns = match after(length) {
            Some(Token::Declare) => false,
            Some(Token::Assign) => true,
            _ => return Ok((Vec::new(), false)),
        };
        if let Some(unknown) = names.iter().find(|name| assigns && !self.variables.contains(name)) {
            return Err(self.error(&format!("undefined variable {unknown:?}")));
        }
        self.next += length + 1;
        Ok((names, assigns))
    }

    fn command(&mut self, context: &str) -> Parsed<Command> {
        let at = self.at();
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(operand) = self.operand(context)? {
            operands.push(operand);
        }
        if operands.is_empty() {
            return Err(self.error("empty command"));
        }
        let shown = operands.iter().map(|o| o.shown.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Command { operands, shown, at })
    }

    fn operand(&mut self, context: &str) -> Parsed<Option<Operand>> {
        let at = self.at();
        let mut fields = Vec::new();
        let kind = match self.peek().cloned() {
            Some(Token::Dot) => OperandKind::Dot,
            Some(Token::Field { name, .. }) => {
                fields.push(name);
                OperandKind::Dot
            }
            Some(Token::Variable(name)) if self.variables.contains(&name) => OperandKind::Variable(name),
            Some(Token::Variable(name)) => return Err(self.error(&format!("undefined variable {name:?}"))),
            Some(Token::Quoted(text)) => OperandKind::Constant(text.into()),
            Some(Token::Int(i)) => OperandKind::Constant(Value::Int(i)),
            Some(Token::Float(f)) => OperandKind::Constant(Value::Float(f)),
            Some(Token::Word(word)) => self.word(word, context)?,
            Some(Token::LeftParen) => {
                self.next += 1;
                let inner = self.pipeline("parenthesized pipeline", &Token::RightParen)?;
                self.next -= 1;
                OperandKind::Parens(Box::new(inner))
            }
            _ => return Ok(None),
        };
        self.next += 1;
        let mut field_at = at;
        while let Some(Token::Field { name, joined: true }) = self.peek().cloned() {
            if matches!(kind, OperandKind::Constant(_) | OperandKind::Nil) {
                return Err(self.error(&format!("unexpected . after term {:?}", self.shown(at))));
            }
            field_at = self.at();
            fields.push(name);
            self.next += 1;
        }
        let shown = self.shown(at);
        Ok(Some(Operand { kind, fields, shown, at, field_at }))
    }

    fn word(&self, word: String, context: &str) -> Parsed<OperandKind> {
        match word.as_str() {
            "true" => Ok(OperandKind::Constant(true.into())),
            "false" => Ok(OperandKind::Constant(false.into())),
            "nil" => Ok(OperandKind::Nil),
            "if" | "range" | "with" | "end" | "else" | "define" | "template" | "block" | "break" | "continue" => {
                Err(self.unexpected(&format!("<{word}>"), context))
            }
            _ if funcs::exists(&word) => Ok(OperandKind::Function(word)),
            _ => Err(self.error(&format!("function {word:?} not defined"))),
        }
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        match self.take() {
            Some(Token::Close) => Ok(()),
            Some(_) => {
                self.next -= 1;
                let shown = self.shown_token();
                Err(self.error(&format!("unexpected {shown} in {context}")))
            }
            None => Err(self.error("unclosed action")),
        }
    }

    fn nest(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error("max depth exceeded")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.token)
    }

    fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.source.len(), |t| t.at)
    }

    /// The template's text from `start` to the next token, without the spaces before that.
    fn shown(&self, start: usize) -> String {
        self.source.get(start..self.at()).unwrap_or_default().trim_end().trim_end_matches("-").trim_end().to_owned()
    }

    fn shown_token(&self) -> String {
        let end = self.tokens.get(self.next + 1).map_or(self.source.len(), |t| t.at);
        self.source.get(self.at()..end).unwrap_or_default().trim_end().to_owned()
    }

    fn unexpected(&self, what: &str, context: &str) -> TemplateError {
        self.error(&format!("unexpected {what:?} in {context}"))
    }

    fn error(&self, what: &str) -> TemplateError {
        TemplateError::parse(self.source, self.at(), what)
    }
}
