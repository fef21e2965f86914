//! `nightsafe inspect`

use std::path::Path;
use std::process::ExitCode;

use crate::seal::{Outer, Ring};

use super::exit::{Failure, say};
use super::site::{Site, shown_time};
use super::unseal::read_message;
use super::usage::Inspect;

pub(super) fn run(config: Option<&Path>, arguments: &Inspect) -> Result<ExitCode, Failure> {
    let stored = read_message(arguments.file.as_deref())?;
    let outer = Outer::parse(&stored)?;
    let site = Site::load(config)?;
    let verdict = match Ring::load(&site.config.keys.sealing_key) {
        Ok(ring) => match outer.verify(&ring, None) {
            Ok(_) => "good".to_owned(),
            Err(error) => format!("bad: {error}"),
        },
        Err(error) => format!("not checked: {error}"),
    };
    if let Some(claims) = outer.claims() {
        say(format_args!("sealed for   {}", claims.user))?;
        say(format_args!("sealed at    {}", shown_time(claims.sealed_at)))?;
        say(format_args!("sealed by    key {}", claims.key))?;
        say(format_args!("original     {} octets", claims.size))?;
    }
    let (summary, body) = outer.sealed_sizes();
    let summary =
        summary.map_or_else(|| "none".to_owned(), |octets| format!("{octets} octets of age"));
    say(format_args!("body         {body} octets of age"))?;
    say(format_args!("summary      {summary}"))?;
    say(format_args!("signature    {verdict}"))?;
    Ok(ExitCode::SUCCESS)
}
