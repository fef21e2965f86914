//! What `lmtp` and `imap` do alike: serve in the foreground until SIGTERM, and read the configuration again
//! at SIGHUP.

use std::io;
use std::num::NonZero;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use tokio::sync::watch;

use crate::config::Config;
use crate::log;
use crate::service::{self, Signal, Signals};
use crate::sys::process;
use crate::sys::socket::{Address, Listener};

use super::exit::{Failure, say};

/// What glibc's allocator (mallopt(3)) does with what is freed, which it reads when a process begins.
///
/// Large pieces go back to the kernel: by itself it begins to keep them once it has seen a few, and a
/// burst of large messages leaves more memory behind than the budget allows. A few megabytes are kept:
/// by itself it gives them back after each message, and touching fresh pages for the next one takes
/// longer than to compress it. There are as many arenas as processors: by itself it makes eight times as
/// many, one for each thread that ever waited for a disk, and each keeps a few.
fn allocator() -> [(&'static str, String); 3] {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    [
        ("MALLOC_MMAP_THRESHOLD_", "1048576".to_owned()),
        ("MALLOC_TRIM_THRESHOLD_", "4194304".to_owned()),
        ("MALLOC_ARENA_MAX", processors.max(2).to_string()),
    ]
}

/// Threads beside those that clients may take, such as for a reload that lets more of them in.
const SPARE_THREADS: usize = 512;

/// A service that runs in the foreground.
pub(super) trait Daemon: Send + Sync + Sized + 'static {
    /// Its name on the command line and in the log.
    const NAME: &'static str;

    /// Makes it ready.
    fn open(config: &Config) -> Result<Arc<Self>, Failure>;

    /// Takes another configuration.
    fn reload(&self, config: &Config) -> Result<(), Failure>;

    /// What it counts.
    fn metrics(&self) -> String;

    /// Serves until it is told to stop.
    fn serve(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send;

    /// Where it listens.
    fn listen(config: &Config) -> Vec<Address>;

    /// How many clients there may be.
    fn connections(config: &Config) -> usize;

    /// The permission bits of its Unix sockets, and where its metrics can be read.
    fn sockets(config: &Config) -> (u32, &[Address]);

    /// Settings that only a restart changes, of those in which the two differ.
    fn left_by_reload(begun_with: &Config, new: &Config) -> Vec<&'static str>;
}

/// Runs a service until SIGTERM.
pub(super) fn run<D: Daemon>(path: Option<&Path>) -> Result<ExitCode, Failure> {
    // Where that cannot be had, it is served all the same.
    let _ = process::begin_again_with(&allocator());
    panic::set_hook(Box::new(|panic| {
        // The place only: what a panic carries may be of a message.
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        log::panicked(&place);
    }));
    let config = Config::load(path)?;
    // Each client and each connection to the store has a socket.
    process::allow_files()
        .map_err(|cause| Failure::temporary(format!("cannot raise the limit of files: {cause}")))?;
    // A client who has to wait for a disk takes a thread, and one is left for all others.
    let threads = D::connections(&config).saturating_add(SPARE_THREADS);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(threads).build();
    let runtime = runtime.map_err(|cause| cannot_start(&cause))?;
    runtime.block_on(serve::<D>(path, &config))?;
    // A thread that still waits for a peer must not keep the process.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve<D: Daemon>(path: Option<&Path>, config: &Config) -> Result<(), Failure> {
    let daemon = D::open(config)?;
    let mut signals = Signals::catch().map_err(|cause| cannot_start(&cause))?;
    let (mode, metrics) = D::sockets(config);
    let listeners = service::listen(&D::listen(config), mode).await?;
    for listener in service::bind(metrics, mode).await? {
        let daemon = Arc::clone(&daemon);
        tokio::spawn(service::expose(listener, move || daemon.metrics()));
    }
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address()).collect();
    let addresses = addresses.join(", ");
    log::started(D::NAME, &addresses);
    say(format_args!("listening at {addresses}"))?;
    service::tell_ready();
    let (stop, stopping) = watch::channel(false);
    let serving = daemon.serve(listeners, stopping);
    tokio::pin!(serving);
    let mut is_stopping = false;
    loop {
        let signal = tokio::select! {
            () = &mut serving => return Ok(()),
            signal = signals.next() => signal,
        };
        match signal {
            Signal::Reload if is_stopping => {}
            Signal::Reload => reload(path, config, &*daemon),
            Signal::Stop => {
                is_stopping = true;
                service::tell_stopping();
                log::stopping(D::NAME);
                let _ = stop.send(true);
            }
        }
    }
}

fn reload<D: Daemon>(path: Option<&Path>, begun_with: &Config, daemon: &D) {
    service::tell_reloading();
    let reloaded = Config::load(path).map_err(Failure::from).and_then(|config| {
        daemon.reload(&config)?;
        Ok(D::left_by_reload(begun_with, &config))
    });
    match reloaded {
        Ok(left) => log::reloaded(D::NAME, Ok(&left)),
        Err(failure) => log::reloaded(D::NAME, Err(&failure.error())),
    }
    service::tell_ready();
}

fn cannot_start(cause: &io::Error) -> Failure {
    Failure::temporary(format!("cannot start: {cause}"))
}
