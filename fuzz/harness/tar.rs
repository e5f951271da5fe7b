/// Unpacks any bytes, plain or compressed, as a layer and into a tree: an answer or an error, nothing outside the
/// folder, and what can be read is written and read again the same.
pub fn tar_entries(bytes: &[u8]) {
    use wharf_storage::tar::{EntryKind, Limits, Reader, Writer};
    let limits = Limits { entries: 2_000, bytes: 4 << 20 };
    let mut entries = Vec::new();
    let mut reader = Reader::new(bytes, &limits);
    while let Ok(Some(entry)) = reader.next_entry() {
        let mut data = Vec::new();
        while let Ok(Some(piece)) = reader.data() {
            data.extend_from_slice(piece);
        }
        if entry.sparse.is_none() && (entry.kind != EntryKind::File || data.len() as u64 == entry.size) {
            entries.push((entry, data));
        }
    }
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in &entries {
        writer.append_file(entry, &data[..]).expect("writing to memory succeeds");
    }
    let written = writer.finish().expect("writing to memory succeeds");
    let mut again = Reader::new(&written[..], &Limits::default());
    for (entry, _) in &entries {
        let read = again.next_entry().expect("what we write, we read").expect("no entry is lost");
        assert_eq!((&read.path, read.kind, read.mode), (&entry.path, entry.kind, entry.mode));
    }
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made");
    let store = wharf_storage::LayerStore::open(&folder.path().join("layers")).expect("a store can be opened");
    drop(store.unpack(bytes, None, &limits));
    let left = std::fs::read_dir(folder.path().join("layers/ingest")).expect("the store is there").count();
    assert_eq!((left, std::fs::read_dir(folder.path()).expect("the folder is there").count()), (0, 1));
}
