//! `image bootstrap`: a Debian base image from packages, without any registry.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use wharf_bootstrap::{Event, Options, Phase, Progress, Proxies, Refresh};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `image bootstrap` takes.
#[derive(Debug, Args)]
pub struct BootstrapFlags {
    /// Folder that keeps the downloads for the next time
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Certificates that may vouch for an https mirror (PEM)
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Component of the repository (repeatable; main by default)
    #[arg(long)]
    component: Vec<String>,
    /// Further package to install (repeatable, or separated by commas)
    #[arg(long, value_delimiter = ',')]
    include: Vec<String>,
    /// Keys that may sign the repository
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Repository to take the packages from
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Leave out the updates and security suites
    #[arg(long)]
    no_updates: bool,
    /// Print the image's id alone
    #[arg(short, long)]
    quiet: bool,
    /// Build again although there is an image
    #[arg(long)]
    rebuild: bool,
    /// Build again if the mirror has newer packages
    #[arg(long)]
    refresh: bool,
    /// Name of the image; that of the suite by default
    #[arg(short, long)]
    tag: Option<String>,
    /// Distribution and suite, as debian:bookworm
    #[arg(value_name = "DISTRIBUTION:SUITE", num_args = 0..)]
    suite: Vec<String>,
}

definition! {
    BootstrapFlags, bootstrap,
    names: &["image bootstrap"],
    about: "Make a Debian base image from packages, without a registry",
    usage: "[OPTIONS] DISTRIBUTION:SUITE",
    arity: Arity::Exactly(1),
}

/// Where downloads are kept.
const CACHE: &str = "/var/cache/wharf/bootstrap";

async fn bootstrap(app: &App, flags: BootstrapFlags) -> Outcome {
    let options = options(&flags)?;
    let client = app.client().await?;
    let cancel = CancellationToken::new();
    let interrupted = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let show: Arc<dyn Progress> = if flags.quiet { Arc::new(()) } else { Arc::new(Show::new()) };
    let name = options.tag.familiar();
    let outcome =
        wharf_bootstrap::bootstrap(client, options, show, cancel).await.map_err(|e| Failure::from(e).by_client())?;
    if flags.quiet {
        output::out(&format!("{}\n", outcome.image))?;
        return Ok(0);
    }
    let id = output::short_id(&outcome.image);
    let line = match outcome.reused {
        true => format!("{name} is there already ({id})\n"),
        false => format!("{name} is ready ({id}): {} packages\n", outcome.packages),
    };
    output::out(&line)?;
    Ok(0)
}

fn options(flags: &BootstrapFlags) -> Outcome<Options> {
    let cache = flags.cache.clone().unwrap_or_else(|| CACHE.into());
    let mut options = Options::new(&flags.suite[0], cache).map_err(|error| Failure::from(error).by_client())?;
    if let Some(tag) = &flags.tag {
        let tag: wharf_types::Reference = tag
            .parse()
            .map_err(|error: wharf_types::ReferenceError| Failure::new(format!("'{tag}' is no image name: {error}")))?;
        options.tag = tag.or_latest();
    }
    if !flags.component.is_empty() {
        options.components.clone_from(&flags.component);
    }
    options.mirror = flags.mirror.clone().or_else(|| env::text(env::WHARF_MIRROR));
    options.include.clone_from(&flags.include);
    options.keyring.clone_from(&flags.keyring);
    options.ca_bundle.clone_from(&flags.ca_bundle);
    options.updates = !flags.no_updates;
    options.proxies = Proxies {
        http: env::proxy("http_proxy"),
        https: env::proxy("https_proxy"),
        exceptions: env::proxy("no_proxy"),
    };
    options.refresh = match (flags.rebuild, flags.refresh) {
        (true, _) => Refresh::Always,
        (false, true) => Refresh::IfChanged,
        (false, false) => Refresh::IfMissing,
    };
    Ok(options)
}

/// One bar per phase on a terminal, one line per phase otherwise.
struct Show {
    terminal: bool,
    bars: Mutex<HashMap<Phase, ProgressBar>>,
}

impl Show {
    fn new() -> Self {
        Self { terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()), bars: Mutex::default() }
    }

    fn bar(&self, phase: Phase) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let make = || {
            let bar = ProgressBar::no_length().with_prefix(name(phase));
            bar.set_style(style(if counts_bytes(phase) { "{prefix:22} {bytes}" } else { "{prefix:22} {pos}" }));
            bar
        };
        bars.entry(phase).or_insert_with(make).clone()
    }

    fn finish_others(&self, phase: Phase) {
        let bars = self.bars.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bars.iter().filter(|(other, _)| **other != phase).for_each(|(_, bar)| bar.finish());
    }
}

impl Progress for Show {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::Note(text) if self.terminal => {
                let bars = self.bars.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match bars.values().find(|bar| !bar.is_finished()) {
                    Some(bar) => bar.suspend(|| output::err(&format!("{text}\n"))),
                    None => output::err(&format!("{text}\n")),
                }
            }
            Event::Note(text) => output::err(&format!("{text}\n")),
            Event::Begin(phase) if self.terminal => {
                self.finish_others(phase);
                self.bar(phase).tick();
            }
            Event::Begin(phase) => output::err(&format!("{}\n", name(phase))),
            Event::Advance { phase, done, total } if self.terminal => {
                let bar = self.bar(phase);
                if total > 0 && bar.length() != Some(total) {
                    let unit = if counts_bytes(phase) { "{bytes}/{total_bytes}" } else { "{pos}/{len}" };
                    bar.set_style(style(&format!("{{prefix:22}} [{{bar:40}}] {unit}")));
                    bar.set_length(total);
                }
                bar.set_position(done);
            }
            Event::Advance { .. } => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a wrong one shows in the first test that looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Index => "Reading the indices",
        Phase::Download => "Downloading packages",
        Phase::Unpack => "Unpacking packages",
        Phase::Configure => "Configuring packages",
        Phase::Import => "Importing the image",
    }
}

fn counts_bytes(phase: Phase) -> bool {
    matches!(phase, Phase::Download | Phase::Import)
}
