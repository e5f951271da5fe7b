/// Loads an image archive whose `index.json`, manifest and configuration are these bytes, each in its turn, and opens a
/// store whose index they are: an answer or an error, and nothing half-made.
pub fn documents(bytes: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made");
    let store = wharf_image::ImageStore::open(folder.path()).expect("a store can be opened");
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", wharf_types::Digest::of(bytes).hex());
    let line = |bytes: &[u8]| {
        let digest = wharf_types::Digest::of(bytes);
        format!(r#"{{"manifests":[{{"digest":"{digest}","size":{}}}],"schemaVersion":2}}"#, bytes.len())
    };
    let config = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{}}},"layers":[]}}"#,
        wharf_types::Digest::of(bytes),
        bytes.len()
    );
    let (of_manifest, of_config) = (line(bytes), line(config.as_bytes()));
    let archives: [Vec<(String, &[u8])>; 4] = [
        vec![("index.json".into(), bytes)],
        vec![("manifest.json".into(), bytes)],
        vec![("index.json".into(), of_manifest.as_bytes()), (blob(bytes), bytes)],
        vec![
            ("index.json".into(), of_config.as_bytes()),
            (blob(config.as_bytes()), config.as_bytes()),
            (blob(bytes), bytes),
        ],
    ];
    for members in archives {
        let mut writer = wharf_storage::tar::Writer::new(Vec::new());
        for (name, data) in members {
            let entry = wharf_storage::tar::Entry {
                size: data.len() as u64,
                ..wharf_storage::tar::Entry::new(name, wharf_storage::tar::EntryKind::File)
            };
            writer.append_file(&entry, data).expect("writing to memory succeeds");
        }
        let archive = writer.finish().expect("writing to memory succeeds");
        drop(store.load(&archive[..], None, &|_| {}));
    }
    for image in store.list() {
        store.history(&image.id.to_string(), None).expect("what was loaded has a history");
        store.save(&[&image.id.to_string()], None, std::io::sink()).expect("what was loaded is saved");
    }
    drop(store);
    std::fs::write(folder.path().join("content/index.json"), bytes).expect("the index can be written");
    let store = wharf_image::ImageStore::open(folder.path()).expect("a store with any index is opened");
    store.check(true, &|_| false, &mut |_| true).expect("a store with any index is checked");
}
