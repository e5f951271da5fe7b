//! gRPC over HTTP/2, as much of it as two protocols need: messages in frames of five bytes and a length, a status in the
//! trailers. Written out here because it is less than the frameworks bring along.

mod body;
mod call;
mod serve;
mod status;

pub(crate) use body::{Frames, Outgoing, Pieces};
pub(crate) use call::{Channel, Received, Sent};
pub(crate) use serve::{Reply, Service, serve};
pub(crate) use status::{Code, Status};
