//! How things look on a terminal: sizes, times, tables and rows through templates.

pub mod duration;
pub mod size;
pub mod table;
pub mod tabs;

/// An operating system's error in the words of Go: `no such file or directory`.
pub fn os_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
        None => error.to_string(),
    }
}
