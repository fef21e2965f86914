//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2): what a message is made of.

use super::envelope::{self, unfolded};
use super::manner::Manner;
use super::parameters::{self, Parameters};
use super::parts::{Node, Parts, Shape};
use super::write;

/// How a structure is written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// With extension data: BODYSTRUCTURE.
    pub(super) is_extended: bool,
    pub(super) manner: Manner,
}

/// Writes the structure of one part. The tree's depth bounds the recursion.
pub(super) fn write(parts: &Parts<'_>, place: usize, form: Form, out: &mut Vec<u8>) {
    let Some(node) = parts.get(place) else { return write::nil(out) };
    out.push(b'(');
    if node.shape == Shape::Multipart {
        node.children.iter().for_each(|child| write(parts, *child, form, out));
        write_multipart(node, form, out);
    } else {
        write_one(parts, place, node, form, out);
    }
    out.push(b')');
}

fn write_multipart(node: &Node<'_>, form: Form, out: &mut Vec<u8>) {
    let found = node.content_type();
    out.push(b' ');
    write::string(found.as_ref().map_or(b"mixed", |found| &found.subtype), out);
    if form.is_extended {
        out.push(b' ');
        write_parameters(&found.map(|found| found.parameters).unwrap_or_default(), out);
        write_extension(node, out);
    }
}

/// RFC 3501 §9 `body-type-1part`.
fn write_one(parts: &Parts<'_>, place: usize, node: &Node<'_>, form: Form, out: &mut Vec<u8>) {
    let is_text = write_type(node, form, out);
    for name in ["Content-ID", "Content-Description"] {
        out.push(b' ');
        write::nstring(
            node.field(name).map(unfolded).filter(|text| !text.is_empty()).as_deref(),
            out,
        );
    }
    out.push(b' ');
    let encoding = node.field("Content-Transfer-Encoding").and_then(parameters::token);
    write::string(encoding.as_deref().unwrap_or(b"7bit"), out);
    out.push(b' ');
    write::number(node.size(), out);
    if let Some((message, inner)) = inner(parts, place) {
        out.push(b' ');
        envelope::write(inner.header, form.manner, out);
        out.push(b' ');
        write(parts, message, form, out);
    }
    if is_text || node.shape == Shape::Message {
        out.push(b' ');
        write::number(node.lines, out);
    }
    if form.is_extended {
        out.push(b' ');
        let digest = node.field("Content-MD5").map(unfolded).filter(|text| !text.is_empty());
        write::nstring(digest.as_deref(), out);
        write_extension(node, out);
    }
}

fn inner<'t, 'a>(parts: &'t Parts<'a>, place: usize) -> Option<(usize, &'t Node<'a>)> {
    let message = parts.message_in(place)?;
    Some((message, parts.get(message)?))
}

/// Writes type, subtype and parameters; tells whether it is a text.
fn write_type(node: &Node<'_>, form: Form, out: &mut Vec<u8>) -> bool {
    let charset = || (b"charset".to_vec(), b"us-ascii".to_vec());
    let (kind, subtype, parameters) = match node.content_type() {
        Some(mut found) => {
            let has_charset =
                found.parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"charset"));
            if form.manner.names_default_charset() && found.is("text") && !has_charset {
                found.parameters.push(charset());
            }
            (found.kind, found.subtype, found.parameters)
        }
        None if node.shape == Shape::Message => (b"message".to_vec(), b"rfc822".to_vec(), vec![]),
        None => (b"text".to_vec(), b"plain".to_vec(), vec![charset()]),
    };
    write::string(&kind, out);
    out.push(b' ');
    write::string(&subtype, out);
    out.push(b' ');
    write_parameters(&parameters, out);
    kind.eq_ignore_ascii_case(b"text")
}

fn write_parameters(parameters: &Parameters, out: &mut Vec<u8>) {
    if parameters.is_empty() {
        return write::nil(out);
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write::string(name, out);
        out.push(b' ');
        write::string(value, out);
    }
    out.push(b')');
}

/// Disposition, language and location (RFC 3501 §7.4.2).
fn write_extension(node: &Node<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    match node.field("Content-Disposition").and_then(parameters::disposition) {
        Some((kind, parameters)) => {
            out.push(b'(');
            write::string(&kind, out);
            out.push(b' ');
            write_parameters(&parameters, out);
            out.push(b')');
        }
        None => write::nil(out),
    }
    out.push(b' ');
    let languages = node.field("Content-Language").map(parameters::tokens).unwrap_or_default();
    if languages.is_empty() {
        write::nil(out);
    }
    for (index, language) in languages.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write::string(language, out);
    }
    if !languages.is_empty() {
        out.push(b')');
    }
    out.push(b' ');
    let location = node.field("Content-Location").map(unfolded).filter(|text| !text.is_empty());
    write::nstring(location.as_deref(), out);
}
