//! `nightsafe lmtp`: the pre-delivery hook, in the foreground until SIGTERM.

use std::io;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Config, Lmtp};
use crate::delivery::lmtp::Service;
use crate::log;
use crate::service::{self, Signal, Signals};
use crate::sys::process;

use super::exit::{Failure, say};

const NAME: &str = "lmtp";

/// What glibc's allocator (mallopt(3)) does with what is freed, which it reads when a process begins.
///
/// Large pieces go back to the kernel: by itself it begins to keep them once it has seen a few, and a
/// burst of large messages leaves more memory behind than the budget allows. A few megabytes are kept:
/// by itself it gives them back after each message, and touching fresh pages for the next one takes
/// longer than to compress it.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "4194304")];

pub(super) fn run(path: Option<&Path>) -> Result<ExitCode, Failure> {
    // Where that cannot be had, it is served all the same.
    let _ = process::begin_again_with(&ALLOCATOR);
    panic::set_hook(Box::new(|panic| {
        // The place only: what a panic carries may be of a message.
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        log::panicked(&place);
    }));
    let config = Config::load(path)?;
    // Each client and each delivery to the store has a socket.
    process::allow_files()
        .map_err(|cause| Failure::temporary(format!("cannot raise the limit of files: {cause}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| cannot_start(&cause))?;
    runtime.block_on(serve(path, &config))?;
    // A thread that still waits for a peer must not keep the process.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(path: Option<&Path>, config: &Config) -> Result<(), Failure> {
    let hook = Service::open(config)?;
    let mut signals = Signals::catch().map_err(|cause| cannot_start(&cause))?;
    let listeners = service::listen(&config.lmtp.listen, config.lmtp.socket_mode).await?;
    for listener in service::bind(&config.lmtp.metrics, config.lmtp.socket_mode).await? {
        let hook = Arc::clone(&hook);
        tokio::spawn(service::expose(listener, move || hook.metrics()));
    }
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address()).collect();
    let addresses = addresses.join(", ");
    log::started(NAME, &addresses);
    say(format_args!("listening at {addresses}"))?;
    service::tell_ready();
    let (stop, stopping) = watch::channel(false);
    let serving = Arc::clone(&hook);
    let serving = serving.serve(listeners, stopping);
    tokio::pin!(serving);
    let mut is_stopping = false;
    loop {
        let signal = tokio::select! {
            () = &mut serving => return Ok(()),
            signal = signals.next() => signal,
        };
        match signal {
            Signal::Reload if is_stopping => {}
            Signal::Reload => reload(path, &config.lmtp, &hook),
            Signal::Stop => {
                is_stopping = true;
                service::tell_stopping();
                log::stopping(NAME);
                let _ = stop.send(true);
            }
        }
    }
}

fn reload(path: Option<&Path>, begun_with: &Lmtp, hook: &Service) {
    service::tell_reloading();
    let reloaded = Config::load(path).map_err(Failure::from).and_then(|config| {
        hook.reload(&config)?;
        Ok(begun_with.left_by_reload(&config.lmtp))
    });
    match reloaded {
        Ok(left) => log::reloaded(NAME, Ok(&left)),
        Err(failure) => log::reloaded(NAME, Err(&failure.error())),
    }
    service::tell_ready();
}

fn cannot_start(cause: &io::Error) -> Failure {
    Failure::temporary(format!("cannot start: {cause}"))
}
