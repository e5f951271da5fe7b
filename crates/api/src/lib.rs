//! Wire types and version rules of the Docker Engine API.
