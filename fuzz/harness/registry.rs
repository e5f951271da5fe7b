/// What the other side of a registry's wire may send, as headers and as documents: answers that make sense, or errors.
pub fn registry(bytes: &[u8]) {
    use wharf_registry::{client, server};
    server::fuzzing::document(bytes).expect("a manifest reads the same again");
    client::fuzzing::document(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines().chain([text]) {
        server::fuzzing::header(line).expect("a header is answered");
        client::fuzzing::header(line).expect("a header is answered");
        server::fuzzing::name(line).expect("names stay below their folder");
    }
}
