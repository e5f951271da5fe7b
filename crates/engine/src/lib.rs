//! Containers, images, networks, volumes, events and the state database; knows no HTTP.
