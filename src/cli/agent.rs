//! `nightsafe agent`: the daemon that holds unlocked keys, in the foreground until SIGTERM.

use std::ffi::OsStr;
use std::io;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::runner::{self, Configuration, Runner};
use crate::agent::{Agent, sandbox};
use crate::config::{self, Config};
use crate::keys::files::KeyDirectory;
use crate::keys::public::PublicFolder;
use crate::log;
use crate::service::{self, Signal, Signals};
use crate::sys::socket::Address;
use crate::sys::{memory, process};

use super::exit::{Failure, say};
use super::site::Site;
use super::usage;

const NAME: &str = "agent";
/// Threads that may read files or compute at a time.
const MAX_THREADS: usize = 64;
/// What a thread may need of its stack, with room for what is scrubbed after it.
const STACK_BYTES: usize = 1024 * 1024;
/// How long a login in flight may take after SIGTERM. Whatever becomes of it, the record is whole.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(config: Option<&Path>, arguments: &usage::Agent) -> Result<ExitCode, Failure> {
    panic::set_hook(Box::new(|panic| {
        // The place only: what a panic carries may be secret.
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        log::panicked(&place);
    }));
    let site = Site::load(config)?;
    if arguments.runner {
        let ran = runner::run(site.config.keys.after_write, config);
        ran.map_err(|cause| Failure::temporary(format!("the agent is gone: {cause}")))?;
        return Ok(ExitCode::SUCCESS);
    }
    process::allow_files()
        .map_err(|cause| Failure::temporary(format!("cannot raise the limit of files: {cause}")))?;
    let runner = start_runner(&site, config)?;
    let keys = site.keys()?.with_after_write(Box::new(Arc::clone(&runner)));
    if !memory::lock_all() {
        log::agent_exposed(
            &"only keys are kept out of swap; LimitMEMLOCK=infinity keeps all memory out of it",
        );
    }
    let agent = Agent::new(&site.config.agent, site.rules.clone(), keys, site.secrets()?)?;
    // One thread for what is said, and others, when they are needed, for what is done: those are
    // started after the sandbox, and so inside it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_THREADS)
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|cause| cannot_start(&cause))?;
    let served = runtime.block_on(serve(config, &site, agent, runner));
    runtime.shutdown_timeout(PATIENCE);
    served.map(|()| ExitCode::SUCCESS)
}

/// The process that does what this one will not be able to.
fn start_runner(site: &Site, config: Option<&Path>) -> Result<Arc<Runner>, Failure> {
    let mut arguments: Vec<&OsStr> = Vec::new();
    if let Some(config) = config {
        arguments.extend([OsStr::new("--config"), config.as_os_str()]);
    }
    arguments.extend(["agent", "--runner"].map(OsStr::new));
    let command = &site.config.keys.after_write;
    Runner::start(command, &arguments).map_err(|cause| cannot_start(&cause))
}

async fn serve(
    config: Option<&Path>,
    site: &Site,
    agent: Arc<Agent>,
    runner: Arc<Runner>,
) -> Result<(), Failure> {
    let settings = &site.config.agent;
    let mut signals = Signals::catch().map_err(|cause| cannot_start(&cause))?;
    let address = Address::Unix(settings.socket.clone());
    let listeners = service::listen(&[address], settings.socket_mode).await?;
    for listener in service::bind(&settings.metrics, settings.socket_mode).await? {
        let agent = Arc::clone(&agent);
        tokio::spawn(service::expose(listener, move || agent.metrics()));
    }
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address()).collect();
    let addresses = addresses.join(", ");
    log::started(NAME, &addresses);
    let keys = &site.config.keys.directory;
    enter_sandbox(&KeyDirectory::private_below(keys), &PublicFolder::path_below(keys));
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(Arc::clone(&agent).serve(listeners, stopping));
    say(format_args!("listening at {addresses}"))?;
    service::tell_ready();
    while signals.next().await == Signal::Reload {
        service::tell_reloading();
        let path = config.map(Path::to_owned);
        let runner = Arc::clone(&runner);
        let read = tokio::task::spawn_blocking(move || runner.configuration(path.as_deref())).await;
        match reload(&agent, &site.config, read.unwrap_or_else(|panic| Err(panic.to_string()))) {
            Ok(left) => log::reloaded(NAME, Ok(&left)),
            Err(problem) => log::reloaded(NAME, Err(&problem)),
        }
        service::tell_ready();
    }
    service::tell_stopping();
    log::stopping(NAME);
    let _ = stop.send(true);
    // Nothing is left to be said of one that panicked: it was in the log.
    let _ = serving.await;
    Ok(())
}

/// Takes another configuration; which of its changes wait for a restart.
fn reload(
    agent: &Agent,
    begun_with: &Config,
    read: Result<Configuration, String>,
) -> Result<Vec<&'static str>, String> {
    let Configuration { config, rules, recovery, users } = read?;
    let reloaded = agent.reload(&config.agent, rules, &users, recovery);
    reloaded.map_err(|problem| problem.to_string())?;
    let mut left = begun_with.agent.left_by_reload(&config.agent);
    let recovery_key = begun_with.keys.recovery_key.clone();
    if begun_with.keys != (config::Keys { recovery_key, ..config.keys }) {
        left.push("[keys]");
    }
    Ok(left)
}

fn enter_sandbox(private: &Path, public: &Path) {
    match sandbox::leave_only(&[private, public]) {
        Ok(true) => {}
        Ok(false) => log::agent_exposed(&"this kernel enforces only a part of the file sandbox"),
        Err(problem) => log::agent_exposed(&format!("no file sandbox: {problem}")),
    }
}

fn cannot_start(cause: &io::Error) -> Failure {
    Failure::temporary(format!("cannot start: {cause}"))
}
