//! The walk from the target through everything that it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use wharf_image::{History, Image, ImageDocument, RootFs};
use wharf_types::Platform;

use super::config;
use super::scope::{Globals, PROXIES, StageScope};
use super::{
    CopyOp, CopySource, FilesFrom, ImageRequest, Images, Lowered, NamedContext, Node, NodeId, Op, Options, Plan,
    PlanLine, Planned, RunOp,
};
use crate::dockerfile::words::Expansion;
use crate::dockerfile::{
    Command, Dockerfile, Failure, Heredoc, Instruction, Kind, Mount, MountKind, Network, Origin, Run, Span, Stage,
    Transfer, lines, parse_instruction,
};

/// Plans the build of `file` as `options` say, with these `images`.
///
/// # Errors
/// A failure with its place: an unknown target, a cycle, a variable that cannot be expanded, a value that makes no sense.
pub fn lower(file: &Dockerfile, options: &Options, images: &Images) -> Result<Lowered, Failure> {
    let target = match &options.target {
        None => file.stages.len() - 1,
        Some(name) => file.stage(name).ok_or_else(|| {
            let names: Vec<&str> = file.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
            let failure = Failure::new(Span::line(1), format!("target stage {name:?} could not be found"));
            if names.is_empty() { failure } else { failure.with_hint(format!("stages are {}", names.join(", "))) }
        })?,
    };
    let stage_name = file.stages[target].name.clone().unwrap_or_else(|| "default".to_owned());
    let globals = Globals::of(file, options, &stage_name)?;
    let mut lowering = Lowering {
        file,
        options,
        images,
        globals,
        nodes: Vec::new(),
        done: BTreeMap::new(),
        visiting: Vec::new(),
        missing: Vec::new(),
        image_nodes: BTreeMap::new(),
        lines: BTreeMap::new(),
    };
    let mut state = lowering.stage(target)?;
    if !lowering.missing.is_empty() {
        return Ok(Lowered::Needs(lowering.missing));
    }
    for (name, value) in &options.labels {
        state.document.config.labels.insert(name.clone(), value.clone());
    }
    Ok(Lowered::Plan(Box::new(Plan {
        nodes: lowering.nodes,
        result: state.node,
        document: state.document,
        history: state.history,
        lines: lowering.lines.into_values().flatten().collect(),
        base: state.base,
    })))
}

struct Lowering<'a> {
    file: &'a Dockerfile,
    options: &'a Options,
    images: &'a Images,
    globals: Globals,
    nodes: Vec<Node>,
    done: BTreeMap<usize, State>,
    visiting: Vec<usize>,
    missing: Vec<(ImageRequest, Span)>,
    image_nodes: BTreeMap<ImageRequest, NodeId>,
    lines: BTreeMap<usize, Vec<PlanLine>>,
}

/// Where a stage has got to.
#[derive(Clone)]
struct State {
    node: NodeId,
    document: ImageDocument,
    history: Vec<Option<NodeId>>,
    args: BTreeMap<String, String>,
    /// Declared arguments in order, for the history.
    arg_names: Vec<String>,
    cmd_set: bool,
    base: Option<Arc<Image>>,
}

impl Lowering<'_> {
    fn stage(&mut self, index: usize) -> Planned<State> {
        if let Some(state) = self.done.get(&index) {
            return Ok(state.clone());
        }
        let stage = self.file.stages[index].clone();
        if self.visiting.contains(&index) {
            let name = stage.name.clone().unwrap_or_else(|| index.to_string());
            return Err(Failure::new(stage.span, format!("circular dependency detected on stage: {name}")));
        }
        self.visiting.push(index);
        let state = self.instructions(index, &stage);
        self.visiting.pop();
        let state = state?;
        self.done.insert(index, state.clone());
        Ok(state)
    }

    fn instructions(&mut self, index: usize, stage: &Stage) -> Planned<State> {
        let mut state = self.base(index, stage)?;
        let from = PlanLine { text: stage.text.clone(), node: Some(state.node), own: true };
        self.lines.insert(index, vec![from]);
        let triggers = self.triggers(&mut state, stage)?;
        let all: Vec<Instruction> = triggers.into_iter().chain(stage.instructions.iter().cloned()).collect();
        let makes_layer =
            |i: &&Instruction| matches!(i.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_));
        let total = all.iter().filter(makes_layer).count() + 1;
        let label = match (&stage.name, self.file.stages.len()) {
            (Some(name), _) => format!("{name} "),
            (None, 1) => String::new(),
            (None, _) => format!("stage-{index} "),
        };
        let mut number = 1;
        let no_cache =
            self.options.no_cache
                || self.options.no_cache_filter.iter().any(|filter| {
                    stage.name.as_deref() == Some(&filter.to_lowercase()) || *filter == index.to_string()
                });
        for instruction in &all {
            let before = state.node;
            if makes_layer(&instruction) {
                number += 1;
            }
            let name = format!("[{label}{number}/{total}] {}", instruction.text);
            let mut step = Step { lowering: self, state: &mut state, instruction, name, no_cache, index };
            step.apply()?;
            let own = state.node != before;
            let line = PlanLine { text: instruction.text.clone(), node: Some(state.node), own };
            self.lines.entry(index).or_default().push(line);
        }
        Ok(state)
    }

    /// What stands after `FROM`.
    fn base(&mut self, index: usize, stage: &Stage) -> Planned<State> {
        let escape = self.file.directives.escape;
        let base = self.globals.expand(escape, &stage.base, stage.span)?;
        if base.is_empty() {
            let sentence = format!("base name ({}) should not be blank", stage.base);
            return Err(
                Failure::new(stage.span, sentence).with_hint("give the ARG a default, or a value with --build-arg")
            );
        }
        let platform =
            match &stage.platform {
                Some(text) => {
                    let text = self.globals.expand(escape, text, stage.span)?;
                    let platform = text.parse::<Platform>();
                    Some(platform.map_err(|error| {
                        Failure::new(stage.span, format!("failed to parse platform {text}: {error}"))
                    })?)
                }
                None => self.options.platform.clone(),
            };
        let earlier = self.file.stages[..index].iter().rposition(|s| s.name.as_deref() == Some(&base.to_lowercase()));
        let named = self.options.contexts.get(&base).cloned();
        match (named, earlier) {
            (None, Some(earlier)) => {
                let mut state = self.stage(earlier)?;
                state.args.clear();
                state.arg_names.clear();
                state.cmd_set = false;
                Ok(state)
            }
            (None, None) if base == "scratch" => {
                let name = "[internal] scratch".to_owned();
                let node = self.push(Node { op: Op::Scratch, name, span: stage.span, no_cache: false });
                Ok(State::new(node, empty_document(&platform.unwrap_or_else(Platform::host))))
            }
            (Some(NamedContext::Files), _) => {
                let sentence = format!("the named context {base} holds files, not an image");
                Err(Failure::new(stage.span, sentence).with_hint("use it with COPY --from or RUN --mount=from"))
            }
            (Some(NamedContext::Image(name)), _) => Ok(self.image_state(&name, platform, stage.span)),
            (None, None) => Ok(self.image_state(&base, platform, stage.span)),
        }
    }

    fn image_state(&mut self, name: &str, platform: Option<Platform>, span: Span) -> State {
        let (node, image) = self.image(name, platform, span);
        let Some(image) = image else { return State::new(node, empty_document(&Platform::host())) };
        let mut document = (*image.document).clone();
        document.extra.clear();
        document.rootfs = RootFs::of(Vec::new());
        // Every step has a PATH, and `ENV PATH=$PATH:…` means that one.
        if !document.config.env.iter().any(|line| line.starts_with("PATH=")) {
            document.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        let history = vec![None; document.history.len()];
        State { history, base: Some(image), ..State::new(node, document) }
    }

    /// The step that stands for an image; a stand-in while it is not known.
    fn image(&mut self, name: &str, platform: Option<Platform>, span: Span) -> (NodeId, Option<Arc<Image>>) {
        let platform = platform.unwrap_or_else(Platform::host).to_string();
        let request = ImageRequest { name: name.to_owned(), platform };
        let image = self.images.get(&request).cloned();
        if image.is_none() && !self.missing.iter().any(|(known, _)| *known == request) {
            self.missing.push((request.clone(), span));
        }
        if let Some(node) = self.image_nodes.get(&request) {
            return (*node, image);
        }
        let op = image.clone().map_or(Op::Scratch, Op::Image);
        let node = self.push(Node { op, name: format!("FROM {name}"), span, no_cache: false });
        self.image_nodes.insert(request, node);
        (node, image)
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The instructions that the base left for those who build on it.
    fn triggers(&mut self, state: &mut State, stage: &Stage) -> Planned<Vec<Instruction>> {
        let triggers = std::mem::take(&mut state.document.config.on_build);
        let mut instructions = Vec::new();
        for trigger in triggers {
            let source = crate::dockerfile::Source::new("ONBUILD", trigger.clone());
            let at_from = |failure: Failure| Failure { span: stage.span, ..failure };
            let split = lines::split(&source).map_err(at_from)?;
            for line in &split.lines {
                let mut instruction = parse_instruction(line, self.file.directives.escape).map_err(at_from)?;
                instruction.span = stage.span;
                instructions.push(instruction);
            }
        }
        Ok(instructions)
    }

    /// What `--from` means: a named context, a stage, an image.
    fn from(&mut self, name: &str, span: Span, current: usize) -> Planned<FilesFrom> {
        match self.options.contexts.get(name).cloned() {
            Some(NamedContext::Files) => return Ok(FilesFrom::Context(name.to_owned())),
            Some(NamedContext::Image(image)) => return Ok(FilesFrom::Node(self.image(&image, None, span).0)),
            None => {}
        }
        if name.parse::<usize>().is_ok_and(|number| number >= current)
            && self.file.stage(name).is_some_and(|s| s >= current)
            || name.parse::<usize>().is_ok_and(|number| number >= self.file.stages.len())
        {
            return Err(Failure::new(span, format!("invalid stage index {name}"))
                .with_hint("stages are counted from 0, and only earlier ones can be used"));
        }
        match self.file.stage(name) {
            Some(stage) => Ok(FilesFrom::Node(self.stage(stage)?.node)),
            None if name.eq_ignore_ascii_case("scratch") => {
                let name = "[internal] scratch".to_owned();
                Ok(FilesFrom::Node(self.push(Node { op: Op::Scratch, name, span, no_cache: false })))
            }
            None => Ok(FilesFrom::Node(self.image(name, self.options.platform.clone(), span).0)),
        }
    }
}

impl State {
    fn new(node: NodeId, document: ImageDocument) -> Self {
        Self {
            node,
            document,
            history: Vec::new(),
            args: BTreeMap::new(),
            arg_names: Vec::new(),
            cmd_set: false,
            base: None,
        }
    }
}

fn empty_document(platform: &Platform) -> ImageDocument {
    let mut document = ImageDocument {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os: platform.os.clone(),
        rootfs: RootFs::of(Vec::new()),
        ..ImageDocument::default()
    };
    document.config.env = vec![format!("PATH={DEFAULT_PATH}")];
    document
}

/// What programs are looked for in where an image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One instruction in the making.
struct Step<'s, 'l, 'a> {
    lowering: &'l mut Lowering<'a>,
    state: &'s mut State,
    instruction: &'s Instruction,
    name: String,
    no_cache: bool,
    index: usize,
}

impl Step<'_, '_, '_> {
    fn apply(&mut self) -> Planned<()> {
        let instruction = self.instruction;
        match &instruction.kind {
            Kind::Add(transfer) => self.transfer(transfer, true)?,
            Kind::Copy(transfer) => self.transfer(transfer, false)?,
            Kind::Run(run) => self.run(run)?,
            Kind::Workdir(path) => self.workdir(path)?,
            Kind::Arg(args) => {
                for arg in args {
                    self.arg(&arg.name, arg.default.as_deref())?;
                }
                self.note();
            }
            Kind::Cmd(command) => {
                self.state.document.config.cmd = Some(config::command(&self.state.document.config, command));
                self.state.cmd_set = true;
                self.note();
            }
            Kind::Entrypoint(command) => {
                let words = config::command(&self.state.document.config, command);
                self.state.document.config.entrypoint = Some(words).filter(|words| !words.is_empty());
                if !self.state.cmd_set {
                    self.state.document.config.cmd = None;
                }
                self.note();
            }
            Kind::Env(pairs) => {
                for pair in pairs {
                    let (name, value) = (self.expand(&pair.name)?, self.expand(&pair.value)?);
                    config::set_env(&mut self.state.document.config.env, &name, &value);
                }
                self.note();
            }
            Kind::Label(pairs) => {
                for pair in pairs {
                    let (name, value) = (self.expand(&pair.name)?, self.expand(&pair.value)?);
                    self.state.document.config.labels.insert(name, value);
                }
                self.note();
            }
            Kind::Expose(ports) => {
                for port in ports {
                    for word in self.words(port)? {
                        let ports = config::ports(&word).map_err(|error| self.fail(error))?;
                        let set = &mut self.state.document.config.exposed_ports;
                        ports.into_iter().for_each(|port| config::add_to_set(set, port));
                    }
                }
                self.note();
            }
            Kind::Healthcheck(health) => {
                let health = config::health(&self.state.document.config, health);
                self.state.document.config.healthcheck = Some(health);
                self.note();
            }
            Kind::Maintainer(name) => {
                self.state.document.author.clone_from(name);
                self.note();
            }
            Kind::Onbuild(trigger) => {
                self.state.document.config.on_build.push(trigger.clone());
                self.note();
            }
            Kind::Shell(words) => {
                self.state.document.config.shell.clone_from(words);
                self.note();
            }
            Kind::Stopsignal(text) => {
                let signal = self.expand(text)?;
                if !config::is_signal(&signal) {
                    return Err(self.fail(format!("Invalid signal: {signal}")));
                }
                self.state.document.config.stop_signal = signal;
                self.note();
            }
            Kind::User(text) => {
                self.state.document.config.user = self.expand(text)?;
                self.note();
            }
            Kind::Volume(paths) => {
                for path in paths {
                    let path = self.expand(path)?;
                    if path.is_empty() {
                        return Err(self.fail("VOLUME specified can not be an empty string".into()));
                    }
                    config::add_to_set(&mut self.state.document.config.volumes, path);
                }
                self.note();
            }
        }
        Ok(())
    }

    fn fail(&self, message: String) -> Failure {
        Failure::new(self.instruction.span, message)
    }

    fn expansion(&self) -> Expansion {
        Expansion::new(self.lowering.file.directives.escape)
    }

    fn expand(&self, text: &str) -> Planned<String> {
        let scope = StageScope { env: &self.state.document.config.env, args: &self.state.args };
        self.expansion().text(text, &scope).map_err(|error| self.fail(error))
    }

    fn words(&self, text: &str) -> Planned<Vec<String>> {
        let scope = StageScope { env: &self.state.document.config.env, args: &self.state.args };
        self.expansion().words(text, &scope).map_err(|error| self.fail(error))
    }

    /// An entry of the history without a layer.
    fn note(&mut self) {
        let step = History { created_by: self.instruction.text.clone(), empty_layer: true, ..History::default() };
        self.state.document.history.push(step);
        self.state.history.push(None);
    }

    /// A step that may add a layer.
    fn advance(&mut self, op: Op, created_by: String) {
        let node = Node { op, name: self.name.clone(), span: self.instruction.span, no_cache: self.no_cache };
        let node = self.lowering.push(node);
        self.state.node = node;
        self.state.document.history.push(History { created_by, ..History::default() });
        self.state.history.push(Some(node));
    }

    fn arg(&mut self, name: &str, default: Option<&str>) -> Planned<()> {
        let name = self.expand(name)?;
        let given = self.lowering.options.build_args.get(&name).cloned();
        let own = default.map(|text| self.expand(text)).transpose()?;
        let global = self.lowering.globals.args.get(&name).cloned().flatten();
        let automatic = self.lowering.globals.automatic.get(&name).cloned();
        let value = given.or(own).or(global).or(automatic);
        if !self.state.arg_names.contains(&name) {
            self.state.arg_names.push(name.clone());
        }
        match value {
            Some(value) => drop(self.state.args.insert(name, value)),
            None => drop(self.state.args.remove(&name)),
        }
        Ok(())
    }

    fn absolute(&self, path: &str) -> String {
        let cwd = &self.state.document.config.working_dir;
        let cwd = if cwd.is_empty() { "/" } else { cwd };
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", cwd.trim_end_matches('/')) }
    }

    fn workdir(&mut self, path: &str) -> Planned<()> {
        let path = self.expand(path)?;
        if path.is_empty() {
            return Err(self.fail("WORKDIR requires exactly one argument".into()));
        }
        let path = crate::ignore::clean(&self.absolute(&path));
        self.state.document.config.working_dir.clone_from(&path);
        let user = self.state.document.config.user.clone();
        let op = Op::Workdir { input: self.state.node, path: path.clone(), user };
        self.advance(op, format!("WORKDIR {path}"));
        Ok(())
    }

    fn run(&mut self, run: &Run) -> Planned<()> {
        let (argv, script) = self.command(run);
        let mut mounts = Vec::new();
        for text in &run.mounts {
            mounts.push(self.mount(text)?);
        }
        let state = &*self.state;
        let declared: Vec<(String, String)> =
            state.arg_names.iter().filter_map(|name| Some((name.clone(), state.args.get(name)?.clone()))).collect();
        let mut env = state.document.config.env.clone();
        let is_set = |env: &[String], name: &str| env.iter().any(|line| line.split('=').next() == Some(name));
        for (name, value) in &declared {
            if !is_set(&env, name) {
                env.push(format!("{name}={value}"));
            }
        }
        let mut uncounted_env = Vec::new();
        for name in PROXIES {
            if let Some(value) = self.lowering.options.build_args.get(name).filter(|_| !is_set(&env, name)) {
                uncounted_env.push(format!("{name}={value}"));
            }
        }
        let network = if run.network == Network::Default { self.lowering.options.network } else { run.network };
        let op = RunOp {
            input: state.node,
            argv: argv.clone(),
            env,
            cwd: if state.document.config.working_dir.is_empty() {
                "/".into()
            } else {
                state.document.config.working_dir.clone()
            },
            user: state.document.config.user.clone(),
            mounts,
            script,
            network,
            security: run.security,
            extra_hosts: self.lowering.options.extra_hosts.clone(),
            uncounted_env,
        };
        let declared: Vec<String> = declared.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let prefix =
            if declared.is_empty() { String::new() } else { format!("|{} {} ", declared.len(), declared.join(" ")) };
        self.advance(Op::Run(Box::new(op)), format!("RUN {prefix}{}", argv.join(" ")));
        Ok(())
    }

    /// Program and arguments, and a script that has to be put into a file first.
    fn command(&self, run: &Run) -> (Vec<String>, Option<(String, String)>) {
        let config = &self.state.document.config;
        let Command::Shell(text) = &run.command else { return (config::command(config, &run.command), None) };
        let escape = self.lowering.file.directives.escape;
        match run.heredocs.as_slice() {
            [] => (config::in_shell(config, text), None),
            [only] if Heredoc::start(text.trim(), escape).is_some() => {
                let script = only.text();
                if script.starts_with("#!") {
                    let path = format!("/dev/pipes/{}", only.name.replace('/', "_"));
                    return (vec![path.clone()], Some((path, script)));
                }
                (config::in_shell(config, &script), None)
            }
            many => {
                let mut full = text.clone();
                for heredoc in many {
                    full.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
                }
                (config::in_shell(config, &full), None)
            }
        }
    }

    fn mount(&mut self, text: &str) -> Planned<(Mount, Option<FilesFrom>)> {
        let scope = StageScope { env: &self.state.document.config.env, args: &self.state.args };
        let expansion = self.expansion();
        let mut mount = Mount::parse(text, &|text| expansion.text(text, &scope)).map_err(|error| self.fail(error))?;
        if !mount.target.is_empty() {
            mount.target = crate::ignore::clean(&self.absolute(&mount.target));
            if mount.target == "/" {
                return Err(self.fail("invalid mount target \"/\"".into()));
            }
        }
        let span = self.instruction.span;
        let from = match (mount.kind, &mount.from) {
            (MountKind::Bind, None) => Some(FilesFrom::Context(String::new())),
            (MountKind::Bind | MountKind::Cache, Some(name)) => {
                let name = name.clone();
                Some(self.lowering.from(&name, span, self.index)?)
            }
            _ => None,
        };
        Ok((mount, from))
    }

    fn transfer(&mut self, transfer: &Transfer, is_add: bool) -> Planned<()> {
        let span = self.instruction.span;
        let from = match &transfer.from {
            Some(name) if name.contains('$') => {
                let sentence =
                    format!("'COPY --from' doesn't support variable expansion, define alias stage instead: {name}");
                return Err(self.fail(sentence));
            }
            Some(name) => self.lowering.from(name, span, self.index)?,
            None => FilesFrom::Context(String::new()),
        };
        let mut sources = Vec::new();
        for origin in &transfer.sources {
            sources.push(self.source(origin, is_add)?);
        }
        let written = self.expand(&transfer.destination)?;
        let has_slash = written.ends_with('/') || written == "." || written.ends_with("/.");
        if sources.len() > 1 && !has_slash {
            let name = if is_add { "ADD" } else { "COPY" };
            return Err(self.fail(format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            )));
        }
        let clean = crate::ignore::clean(&self.absolute(&written));
        let destination = if has_slash && clean != "/" { format!("{clean}/") } else { clean };
        let option = |text: &Option<String>| text.as_ref().map(|text| self.expand(text)).transpose();
        let (chown, chmod, checksum) =
            (option(&transfer.chown)?, option(&transfer.chmod)?, option(&transfer.checksum)?);
        let excludes = transfer.excludes.iter().map(|text| self.expand(text)).collect::<Planned<Vec<_>>>()?;
        if checksum.is_some() && !matches!(sources.as_slice(), [CopySource::Url(_) | CopySource::Git(_)]) {
            return Err(self.fail("checksum requires exactly one remote source".into()));
        }
        let created_by = self.instruction.text.clone();
        let op = CopyOp {
            input: self.state.node,
            from,
            sources,
            destination,
            chown,
            chmod,
            parents: transfer.parents,
            excludes,
            link: transfer.link,
            unpack: is_add && transfer.unpack.unwrap_or(true),
            unpack_remote: is_add && transfer.unpack.unwrap_or(false),
            keep_git_dir: transfer.keep_git_dir,
            checksum,
        };
        self.advance(Op::Copy(Box::new(op)), created_by);
        Ok(())
    }

    fn source(&self, origin: &Origin, is_add: bool) -> Planned<CopySource> {
        match origin {
            Origin::Heredoc(heredoc) => {
                let text = heredoc.text();
                let text = if heredoc.expand {
                    let scope = StageScope { env: &self.state.document.config.env, args: &self.state.args };
                    self.expansion().without_quotes().text(&text, &scope).map_err(|error| self.fail(error))?
                } else {
                    text
                };
                Ok(CopySource::Inline(heredoc.name.clone(), text))
            }
            Origin::Path(path) => {
                let path = self.expand(path)?;
                let is_http = path.starts_with("http://") || path.starts_with("https://");
                let bare = path.split('#').next().unwrap_or(&path);
                let is_git = path.starts_with("git@")
                    || path.starts_with("git://")
                    || path.starts_with("ssh://")
                    || is_http && bare.ends_with(".git");
                match () {
                    () if is_add && is_git => Ok(CopySource::Git(path)),
                    () if is_add && is_http => Ok(CopySource::Url(path)),
                    () if is_http => Err(self.fail("source can't be a URL for COPY".into())),
                    () => Ok(CopySource::Path(path)),
                }
            }
        }
    }
}
