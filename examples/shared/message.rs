//! What programs say about files, in the words of GNU's.

use std::ffi::OsStr;
use std::io;

/// The system's words, without the number that Rust adds.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error
        .raw_os_error()
        .map(|code| format!(" (os error {code})"));
    match number.and_then(|number| text.strip_suffix(&number)) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// A name in a message, as a shell would take it back: if need be in `'…'`, and in that, much as GNU does
/// it, what cannot be printed as `'$'\n''`.
pub(crate) fn quoted(name: &OsStr) -> String {
    let plain = |c: char| c.is_alphanumeric() || "%+,-./@_".contains(c);
    if let Some(name) = name
        .to_str()
        .filter(|name| !name.is_empty() && name.chars().all(plain))
    {
        return name.to_owned();
    }
    let octal = |byte: u8| format!(r"'$'\{byte:03o}''");
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => text.push_str(r"'\''"),
                '\n' | '\r' | '\t' => text += &format!("'$'{}''", c.escape_default()),
                '\0'..' ' | '\x7f' => text += &octal(c as u8),
                c => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(|&byte| octal(byte)));
    }
    format!("'{text}'")
}
