//! What `nightsafe check` finds of the proxy that mail clients read through.

use crate::config::{self, Config, Operation};
use crate::imap::proxy::{self, Offer, Worth};
use crate::sys::{accounts, clock, process};

use super::check;
use super::exit::Failure;

/// What the store offers and what of it clients will see. A site that has not touched `[imap]` may have no
/// use for it.
pub(super) fn store(config: &Config) -> Result<String, Failure> {
    let settings = &config.imap;
    let backend = &settings.backend;
    if !backend.is_tls && !backend.address.is_local() {
        let error = format!("[imap] backend: passwords go to {backend} in the clear");
        return Err(Failure::config(error)
            .hint("name it tls:host:port, or the near end of a tunnel that encrypts"));
    }
    match proxy::ask_for_offer(config) {
        Ok(offer) if !offer.takes_passwords() => {
            let error = format!("{backend} lets nobody log in with a password");
            let hint = "let it take PLAIN from this machine (Cyrus: allowplaintext, Dovecot: \
                        disable_plaintext_auth), or ask it over TLS";
            Err(Failure::config(error).hint(hint))
        }
        Ok(offer) => Ok(told(&backend.to_string(), &offer)),
        Err(proxy::ServiceProblem::Store { .. }) if *settings == config::Imap::default() => {
            Ok(format!("no store at {backend}, which only `nightsafe imap` needs"))
        }
        Err(problem @ proxy::ServiceProblem::Store { .. }) if backend.is_tls => {
            Err(Failure::from(problem).hint(
                "start the store, with TLS there; backend_tls_ca has whom to believe, and the \
                 certificate names the host as backend does",
            ))
        }
        Err(problem) => Err(problem.into()),
    }
}

fn told(backend: &str, offer: &Offer) -> String {
    let names = offer.names().join(", ");
    format!("{backend} offers {names}; clients see {}", offer.honoured().replace(' ', ", "))
}

/// Whether the configuration is one to run with, and its certificate of use.
pub(super) fn settings(config: &Config) -> Result<String, Failure> {
    let settings = &config.imap;
    proxy::check(config)?;
    if settings.tls_certificate.as_os_str().is_empty() {
        let open = settings.listen.iter().find(|endpoint| !endpoint.address.is_local());
        return match open {
            None => Ok("no certificate: only clients of this machine can log in".into()),
            Some(endpoint) => {
                let error = format!(
                    "[imap] listen: nobody can log in at {endpoint} from another machine, since \
                     there is no certificate"
                );
                Err(Failure::config(error).hint("set tls_certificate and tls_key"))
            }
        };
    }
    check::closed_to(&settings.tls_key, 0o007)?;
    certificate(settings)
}

/// Whether clients will take the certificate, as far as the calendar goes.
fn certificate(settings: &config::Imap) -> Result<String, Failure> {
    let path = settings.tls_certificate.display();
    let validity = proxy::validity(settings).map_err(proxy::ServiceProblem::from)?;
    let wrong = |when: String| {
        let hint = "renew it, then systemctl restart nightsafe-imap: the key may be another one";
        Err(Failure::config(format!("the certificate in {path} {when}")).hint(hint))
    };
    match validity.at(clock::now()) {
        Worth::Good => {
            let ends = validity.ends();
            Ok(format!("certificate and key are of use until {ends}: {path}"))
        }
        Worth::Late => wrong(format!("ends soon, at {}", validity.ends())),
        Worth::Ended => wrong(format!("has ended, at {}", validity.ends())),
        Worth::Early => {
            let error = format!("the certificate in {path} begins at {} only", validity.begins());
            Err(Failure::config(error).hint("set the clock, or use another certificate until then"))
        }
    }
}

/// Whether the agent believes the proxy who has logged in.
pub(super) fn logins(config: &Config) -> Result<String, Failure> {
    let allow = &config.agent.allow;
    let may = |operations: &[Operation]| operations.contains(&Operation::Login);
    let names = allow.iter().filter(|(_, operations)| may(operations)).map(|(name, _)| name);
    let names: Vec<&str> = names.map(String::as_str).collect();
    if config.imap == config::Imap::default() && names.is_empty() {
        return Ok("nobody but root may tell the agent, which only `nightsafe imap` needs".into());
    }
    let hint =
        "[agent] allow = { nightsafe-imap = [\"login\"] }, with the user that the proxy runs as";
    if names.is_empty() {
        let error = "[agent] allow lets nobody but root say who has logged in";
        return Err(Failure::config(error).hint(hint));
    }
    let is_own = |name: &&str| accounts::uid_of(name) == Some(process::uid());
    let told = names.join(", ");
    if process::is_root() || names.iter().any(is_own) {
        return Ok(format!("the agent is told by {told}, whom the proxy must run as"));
    }
    // It may be anybody's question: whoever checks is not always whoever serves.
    Ok(format!("the agent is told by {told}, and not by this user"))
}
