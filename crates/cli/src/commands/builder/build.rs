//! `build`: an image from a Dockerfile.

use std::path::PathBuf;

use clap::Args;

use crate::app::App;
use crate::build;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `build` takes.
#[derive(Debug, Default, Args)]
pub struct BuildFlags {
    /// Add a line to the steps' hosts file (NAME:ADDRESS)
    #[arg(long, value_name = "list")]
    pub add_host: Vec<String>,
    /// Set an ARG (NAME=VALUE, or NAME for the environment's value)
    #[arg(long, value_name = "list")]
    pub build_arg: Vec<String>,
    /// Another context (NAME=FOLDER or NAME=docker-image://IMAGE)
    #[arg(long, value_name = "list")]
    pub build_context: Vec<String>,
    /// Accepted for compatibility; steps of images here are found anyway
    #[arg(long, value_name = "stringSlice", hide = true)]
    pub cache_from: Vec<String>,
    /// Only say what could be better
    #[arg(long)]
    pub check: bool,
    /// Accepted for compatibility; only differences are sent anyway
    #[arg(long, hide = true)]
    pub compress: bool,
    /// The Dockerfile (default: PATH/Dockerfile)
    #[arg(short, long, value_name = "string")]
    pub file: Option<String>,
    /// Accepted for compatibility; steps leave no containers
    #[arg(long, hide = true)]
    pub force_rm: bool,
    /// What has no effect here.
    #[command(flatten)]
    pub limits: super::limits::LimitFlags,
    /// Write the image's id to a file
    #[arg(long, value_name = "string")]
    pub iidfile: Option<PathBuf>,
    /// Set a label of the image
    #[arg(long, value_name = "list")]
    pub label: Vec<String>,
    /// Accepted for compatibility; the result is always here
    #[arg(long, hide = true)]
    pub load: bool,
    /// Write what was built as JSON to a file
    #[arg(long, value_name = "string")]
    pub metadata_file: Option<PathBuf>,
    /// Network of RUN (default, none, host)
    #[arg(long, value_name = "string", default_value = "default", hide_default_value = true)]
    pub network: String,
    /// Run every step, whatever was built before
    #[arg(long)]
    pub no_cache: bool,
    /// Run every step of these stages
    #[arg(long, value_name = "stringArray", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Where the result goes (type=image|docker|oci|tar|local,dest=PATH)
    #[arg(short, long, value_name = "stringArray")]
    pub output: Vec<String>,
    /// For which platform (OS/ARCH)
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// How progress is shown (auto, plain, tty, rawjson, quiet)
    #[arg(long, value_name = "string", default_value = "auto", hide_default_value = true)]
    pub progress: String,
    /// Ask registries for newer images
    #[arg(long)]
    pub pull: bool,
    /// Say nothing but the image's id
    #[arg(short, long)]
    pub quiet: bool,
    /// Accepted for compatibility; steps leave no containers
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub rm: Option<String>,
    /// Give steps a secret (id=ID[,src=FILE][,env=VARIABLE])
    #[arg(long, value_name = "stringArray")]
    pub secret: Vec<String>,
    /// Give steps an SSH agent (default, or ID=SOCKET)
    #[arg(long, value_name = "stringArray")]
    pub ssh: Vec<String>,
    /// Name the image (NAME[:TAG])
    #[arg(short, long, value_name = "list")]
    pub tag: Vec<String>,
    /// Build this stage
    #[arg(long, value_name = "string")]
    pub target: Option<String>,
    /// The context
    #[arg(value_name = "PATH", num_args = 0..)]
    pub words: Vec<String>,
}

definition! {
    BuildFlags, run,
    names: &["builder build", "build", "image build", "buildx build"],
    about: "Build an image from a Dockerfile",
    usage: "[OPTIONS] PATH | -",
    arity: Arity::Exactly(1),
}

async fn run(app: &App, flags: BuildFlags) -> Outcome {
    build::run(app, flags).await
}
