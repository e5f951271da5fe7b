//! `context create` and `context update`.

use clap::Args;
use wharf_client::Endpoint;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::context::{Context, DEFAULT, TLS_FILES, check_name};
use crate::failure::{Failure, Outcome};
use crate::grammar::csv;
use crate::output;

/// What `context create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// What it is, for people
    #[arg(long)]
    description: Option<String>,
    /// Where the engine is: host=ADDRESS, and for TLS ca=FILE, cert=FILE, key=FILE, skip-tls-verify=BOOL, or from=CONTEXT
    #[arg(long, value_name = "stringToString")]
    docker: Option<String>,
    /// Copy another context
    #[arg(long)]
    from: Option<String>,
    #[arg(value_name = "CONTEXT", num_args = 0..)]
    names: Vec<String>,
}

definition! {
    CreateFlags, create,
    names: &["context create"],
    about: "Give an engine a name",
    usage: "[OPTIONS] CONTEXT",
    arity: Arity::Exactly(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let name = &flags.names[0];
    check_name(name)?;
    let store = app.contexts();
    if store.has(name) {
        return Err(Failure::new(format!("context {name:?} already exists")).with_hint("'context update' changes it"));
    }
    let mut context = match &flags.from {
        Some(from) => app.context(from)?,
        None if flags.docker.is_none() => {
            return Err(Failure::new("docker endpoint configuration is required")
                .with_hint("for instance: --docker host=ssh://USER@HOST"));
        }
        None => Context::default(),
    };
    context.name.clone_from(name);
    change(app, &mut context, flags.description, flags.docker.as_deref())?;
    store.put(&context)?;
    output::out(&format!("{name}\n"))?;
    output::err(&format!("Successfully created context \"{name}\"\n"));
    Ok(0)
}

/// `context update`.
pub mod update {
    use super::{App, Args, Arity, DEFAULT, Failure, Outcome, change, definition, output};

    /// What `context update` takes.
    #[derive(Debug, Args)]
    pub struct UpdateFlags {
        /// What it is, for people
        #[arg(long)]
        description: Option<String>,
        /// Where the engine is: host=ADDRESS, and for TLS ca=FILE, cert=FILE, key=FILE, skip-tls-verify=BOOL, or from=CONTEXT
        #[arg(long, value_name = "stringToString")]
        docker: Option<String>,
        #[arg(value_name = "CONTEXT", num_args = 0..)]
        names: Vec<String>,
    }

    definition! {
        UpdateFlags, update,
        names: &["context update"],
        about: "Change a context",
        usage: "[OPTIONS] CONTEXT",
        arity: Arity::Exactly(1),
    }

    async fn update(app: &App, flags: UpdateFlags) -> Outcome {
        let name = &flags.names[0];
        if name == DEFAULT {
            return Err(Failure::new("\"default\" is a reserved context name"));
        }
        let store = app.contexts();
        let mut context = store.get(name)?;
        change(app, &mut context, flags.description, flags.docker.as_deref())?;
        store.put(&context)?;
        output::out(&format!("{name}\n"))?;
        output::err(&format!("Successfully updated context \"{name}\"\n"));
        Ok(0)
    }
}

fn change(app: &App, context: &mut Context, description: Option<String>, docker: Option<&str>) -> Outcome<()> {
    if let Some(description) = description {
        context.description = description;
    }
    let Some(docker) = docker else { return Ok(()) };
    context.tls.clear();
    context.skip_verify = false;
    context.host.clear();
    for field in csv::fields(docker).map_err(Failure::new)? {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        match key {
            "host" => context.host = value.to_owned(),
            "ca" | "cert" | "key" => {
                let bytes = std::fs::read(value)
                    .map_err(|error| Failure::new(format!("cannot read {value}: {}", output::os_error(&error))))?;
                let file = TLS_FILES.iter().find(|file| file.trim_end_matches(".pem") == key).copied();
                context.tls.push((file.unwrap_or(key).to_owned(), bytes));
            }
            "skip-tls-verify" => context.skip_verify = crate::grammar::number::boolean(value).map_err(Failure::new)?,
            "from" => {
                let from = app.context(value)?;
                (context.host, context.skip_verify, context.tls) = (from.host, from.skip_verify, from.tls);
            }
            _ => return Err(Failure::new(format!("unrecognized config key: {key}"))),
        }
    }
    context.host.parse::<Endpoint>().map_err(|error| Failure::from(error).by_client())?;
    Ok(())
}
