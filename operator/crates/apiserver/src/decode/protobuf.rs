//! placeholder
#[derive(Debug, thiserror::Error)]
#[error("protobuf")]
pub(super) struct ProtobufError;
pub(super) fn parse(_: &[u8]) -> Result<serde_json::Value, ProtobufError> {
    Err(ProtobufError)
}
