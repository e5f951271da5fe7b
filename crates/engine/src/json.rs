//! Documents in the state database.

use serde::Serialize;
use wharf_types::{Error, Result};

/// `value` as JSON.
pub fn write<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::system("a record cannot be written as JSON").caused_by(error))
}
