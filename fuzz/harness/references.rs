/// Reads names, digests and platforms; what is read is written and read again the same.
pub fn references(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<wharf_types::Reference>() {
        let full: wharf_types::Reference = name.to_string().parse().expect("a full name is a name");
        assert_eq!(full, name);
        let familiar: wharf_types::Reference = name.familiar().parse().expect("a short name is a name");
        assert_eq!(familiar, name);
    }
    if let Ok(digest) = text.parse::<wharf_types::Digest>() {
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
    if let Ok(platform) = text.parse::<wharf_types::Platform>() {
        assert_eq!(platform.to_string().parse(), Ok(platform));
    }
}
