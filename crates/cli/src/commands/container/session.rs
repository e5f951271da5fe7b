//! What `run`, `start -a` and `attach` do while a container runs: follow its streams, pass signals on, wait for its end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wharf_api::container::WaitResponse;
use wharf_client::{WaitCondition, Waiting};
use wharf_types::Kind;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::terminal::attach::{End, Session};
use crate::terminal::raw::Raw;
use crate::terminal::signals::{self, Forwarded};

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Exit {
    /// The container ended with this code.
    Code(u8),
    /// The person left; the container goes on.
    Detached,
}

/// What is followed.
pub struct Follow<'a> {
    /// The container.
    pub id: &'a str,
    /// It has a terminal.
    pub tty: bool,
    /// Pass signals on.
    pub forward: bool,
    /// It is removed when it ends.
    pub removed: bool,
    /// The person's terminal is raw.
    pub raw: bool,
}

/// How long to look for an engine after the container's output has ended.
const AFTER_OUTPUT: Duration = Duration::from_secs(10);
/// How often.
const RETRY: Duration = Duration::from_millis(50);

/// Raw mode if it is wanted and there is a terminal.
pub fn raw_if(wanted: bool) -> Outcome<Option<Raw>> {
    if wanted && crate::terminal::raw::stdin_is_terminal() { Ok(Some(Raw::enter()?)) } else { Ok(None) }
}

/// Waits until the container ends and all its output is written, or the person detaches.
pub async fn follow(app: &App, follow: Follow<'_>, mut session: Session, waiting: Waiting) -> Outcome<Exit> {
    let done = Arc::clone(&session.done);
    let ended = async {
        let code = wait(app, &follow, waiting, &done);
        let output = async {
            match session.end().await {
                Ok(End::Detached) => Err(Left::Detached),
                Ok(End::Output(result)) => result.map_err(|e| Left::Failed(e.into())),
                Err(failure) => Err(Left::Failed(failure)),
            }
        };
        // Both must end; but leaving, or an output that breaks, ends it at once.
        tokio::pin!(code, output);
        tokio::select! {
            biased;
            left = &mut output => {
                left?;
                code.await.map_err(Left::Failed)
            }
            code = &mut code => {
                output.await?;
                code.map_err(Left::Failed)
            }
        }
    };
    let beside = beside(app, &follow);
    let result = tokio::select! {
        biased;
        result = ended => result,
        failure = beside => Err(Left::Failed(failure?.into_failure())),
    };
    match result {
        Ok(code) => Ok(Exit::Code(code)),
        Err(Left::Detached) => Ok(Exit::Detached),
        Err(Left::Failed(failure)) => Err(failure),
    }
}

enum Left {
    Detached,
    Failed(Failure),
}

/// Makes "this never ends" fit where a failure is expected.
trait Never {
    fn into_failure(self) -> Failure;
}

impl Never for Infallible {
    fn into_failure(self) -> Failure {
        match self {}
    }
}

/// What goes on beside waiting: signals and the terminal's size. Ends only by failing.
async fn beside(app: &App, follow: &Follow<'_>) -> Outcome<Infallible> {
    if follow.raw {
        let client = app.client().await?;
        let resize = |rows, columns| async move {
            // The container may have ended at this moment.
            let _ = client.container_resize(follow.id, rows, columns).await;
        };
        return either(signals::follow_size(resize), signals::restore_and_die()).await;
    }
    if follow.tty {
        let client = app.client().await?;
        let resize = |rows, columns| async move {
            let _ = client.container_resize(follow.id, rows, columns).await;
        };
        signals::follow_size(resize).await?;
        return std::future::pending().await;
    }
    if !follow.forward {
        return std::future::pending().await;
    }
    let client = app.client().await?;
    let mut forwarded = Forwarded::listen()?;
    loop {
        let name = forwarded.next().await;
        // A container that has ended takes no signal; its end is reported by the one who waits.
        let _ = client.container_kill(follow.id, Some(name)).await;
    }
}

async fn either(
    size: impl Future<Output = Outcome<()>>,
    fatal: impl Future<Output = Outcome<Infallible>>,
) -> Outcome<Infallible> {
    tokio::select! {
        result = size => { result?; std::future::pending().await }
        result = fatal => result,
    }
}

/// The exit code. An engine that goes away meanwhile is waited for, or started again; the container's streams do not
/// depend on it, so there is no hurry while they flow.
async fn wait(app: &App, follow: &Follow<'_>, waiting: Waiting, done: &AtomicBool) -> Outcome<u8> {
    let mut result = waiting.outcome().await;
    let mut deadline: Option<Instant> = None;
    loop {
        match result {
            Ok(response) => return exit_code(&response),
            Err(error) if error.kind() == Kind::Unavailable => {
                if done.load(Ordering::Acquire) {
                    let limit = *deadline.get_or_insert_with(|| Instant::now() + AFTER_OUTPUT);
                    if Instant::now() > limit {
                        return Err(error.into());
                    }
                }
                tokio::time::sleep(RETRY).await;
                result = wait_again(app, follow).await;
            }
            Err(error) if error.kind() == Kind::NotFound && follow.removed => {
                return Err(Failure::new(
                    "the container was removed while the engine restarted; its exit code is not known",
                )
                .with_code(125));
            }
            Err(error) => return Err(Failure::from(error).with_code(125)),
        }
    }
}

async fn wait_again(app: &App, follow: &Follow<'_>) -> wharf_types::Result<WaitResponse> {
    let condition = if follow.removed { WaitCondition::Removed } else { WaitCondition::NotRunning };
    if let Ok(place) = app.place() {
        // If none can be started the request below says why it could not be sent.
        let _ = place.make_sure_of_engine().await;
    }
    let client = match app.client().await {
        Ok(client) => client,
        Err(failure) => return Err(wharf_types::Error::unavailable(failure.message)),
    };
    client.container_wait(follow.id, condition).await?.outcome().await
}

/// The lowest eight bits, as for any process.
pub fn exit_code(response: &WaitResponse) -> Outcome<u8> {
    if let Some(error) = response.error.as_ref().filter(|error| !error.message.is_empty()) {
        return Err(
            Failure { origin: crate::failure::Origin::Engine, ..Failure::new(error.message.clone()) }.with_code(125)
        );
    }
    Ok(u8::try_from(response.status_code & 0xff).unwrap_or(125))
}
