//! The project's source as the rules about it need it: code without comments, strings and tests, the
//! comments by themselves, and the paths that the code names.

use std::fs;
use std::path::Path;

/// One file below `src`.
#[derive(Debug)]
pub struct Source {
    /// Below `src`, as in `keys/files.rs`.
    pub path: String,
    pub text: String,
    /// Without comments, the content of strings, and modules under `#[cfg(test)]`.
    pub code: String,
    pub comments: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let code = without_tests(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    /// The file's module below the crate: `delivery/next_hop/mod.rs` → `[delivery, next_hop]`.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let names = path.split('/').filter(|name| !matches!(*name, "lib" | "main" | "mod"));
        names.map(str::to_owned).collect()
    }

    /// Every path that begins with this word, without it; groups are taken apart.
    pub fn paths(&self, root: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for at in words(&self.code, root) {
            if !self.code[..at].trim_end().ends_with("::") {
                tree(&self.code[at + root.len()..], &[], &mut found);
            }
        }
        found
    }

    /// Every path into the crate, from its root.
    pub fn crate_paths(&self) -> Vec<Vec<String>> {
        let mut found = self.paths("crate");
        found.extend(self.paths("nightsafe"));
        for mut path in self.paths("super") {
            let mut base = self.module();
            base.pop();
            while path.first().is_some_and(|segment| segment == "super") {
                path.remove(0);
                base.pop();
            }
            base.extend(path);
            found.push(base);
        }
        found.retain(|path| !path.is_empty());
        found
    }

    /// Whether the code has this word.
    pub fn names(&self, word: &str) -> bool {
        words(&self.code, word).next().is_some()
    }
}

/// All of `src`.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    read(&root, &root, &mut found);
    assert!(found.len() > 40, "where is the source?");
    found
}

fn read(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the whole word `word` stands.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
    })
}

/// Reads what follows a path's beginning; gives the rest of the code.
fn tree<'a>(code: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let Some(mut rest) = code.trim_start().strip_prefix("::").map(str::trim_start) else {
        found.push(prefix.to_vec());
        return code;
    };
    if let Some(group) = rest.strip_prefix('{') {
        rest = group;
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let Some((name, after)) = segment(rest) else { return rest };
            let path = if name == "self" { prefix.to_vec() } else { joined(prefix, name) };
            rest = tree(after, &path, found).trim_start();
            // An alias.
            if let Some(alias) = rest.strip_prefix("as ") {
                rest = alias.trim_start().trim_start_matches(is_word);
            }
        }
    }
    match segment(rest) {
        Some((name, after)) => tree(after, &joined(prefix, name), found),
        None => {
            found.push(prefix.to_vec());
            rest
        }
    }
}

fn segment(code: &str) -> Option<(&str, &str)> {
    if let Some(after) = code.strip_prefix('*') {
        return Some(("*", after));
    }
    let end = code.find(|c| !is_word(c)).unwrap_or(code.len());
    (end > 0).then(|| code.split_at(end))
}

fn joined(prefix: &[String], name: &str) -> Vec<String> {
    prefix.iter().cloned().chain([name.to_owned()]).collect()
}

/// Code with empty strings, and comments.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let raw =
            rest.strip_prefix('r').filter(|_| !code.ends_with(is_word) || code.ends_with('b'));
        let hashes = raw.map(|raw| raw.len() - raw.trim_start_matches('#').len());
        let raw_quote = hashes.is_some_and(|n| rest[1 + n..].starts_with('"'));
        let end = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            comments.push_str(&rest[..end]);
            comments.push('\n');
            end
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            comments.push_str(&rest[..end]);
            end
        } else if let (Some(n), true) = (hashes, raw_quote) {
            let close = format!("\"{}", "#".repeat(n));
            code.push_str("\"\"");
            let begin = n + 2;
            rest[begin..].find(&close).map_or(rest.len(), |end| begin + end + close.len())
        } else if c == '"' {
            code.push_str("\"\"");
            1 + quoted(&rest[1..], '"')
        } else if c == '\'' && is_char(&rest[1..]) {
            code.push_str("' '");
            1 + quoted(&rest[1..], '\'')
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[end..];
    }
    (code, comments)
}

/// A character rather than a lifetime.
fn is_char(rest: &str) -> bool {
    rest.starts_with('\\') || rest.chars().nth(1) == Some('\'')
}

/// How long it is to the closing quote, with it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let mut depth = 0;
        let end = item.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(at + 1)
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    kept + rest
}
