export { type ConnectOptions, Connection } from "./connection.ts";
export { ConnectionError, socketFailureCode } from "./connection-error.ts";
export {
  ConnectionPool,
  type ConnectionPoolOptions,
  type PooledConnection,
} from "./connection-pool.ts";
export { REMOTE_PRIORITIES, type RemotePriority } from "./priority.ts";
export {
  CORO_RPC_REPLY_HEAD_BYTES,
  CoroRpcError,
  coroRpcFunctionId,
  decodeCoroRpcReplyHead,
  encodeCoroRpcRequestHead,
} from "./coro-rpc.ts";
export {
  INFINISTORE_HEAD_BYTES,
  InfinistoreCode,
  type InfinistoreRequest,
  decodeInfinistoreBody,
  decodeInfinistoreHead,
  encodeInfinistoreReply,
  encodeInfinistoreRequest,
} from "./infinistore.ts";
export {
  MOONCAKE_LAYOUTS,
  type MooncakeBuffer,
  type MooncakeCall,
  type MooncakeLayout,
  type MooncakeReplica,
  MooncakeReplicaStatus,
  MooncakeReplicaType,
  type MooncakeReplicas,
  REPLICATE_CONFIG,
  memoryBuffers,
} from "./mooncake-layouts.ts";
export {
  MOONCAKE_STATUS_BYTES,
  decodeMooncakeStatus,
  encodeMooncakeTransfer,
} from "./mooncake-tcp.ts";
export { isPacked, pack, unpack } from "./struct-pack.ts";
export type { Expected } from "./struct-pack-types.ts";
export {
  type RespArgument,
  RespCommands,
  RespError,
  type RespReply,
  readReply,
  readValueEnd,
  readValueLength,
} from "./resp.ts";
export {
  LM_CLAIMS_VERSION,
  LM_EXTENSIONS,
  LM_EXTENSION_VERSION,
  LM_MAX_NAMES,
  LM_MAX_NAMES_BYTES,
  type LmHelloReply,
  decodeLmNames,
  encodeLmNames,
  isLmProof,
  lmHello,
  lmHelloReply,
  lmProof,
  lmReplyWithCount,
  lmRequest,
  readLmHelloReply,
} from "./lm-extension.ts";
export {
  LM_CODES,
  LM_COMMANDS,
  LM_FORM_BYTES,
  LM_KEY_BYTES,
  LM_NO_VALUE,
  type LmForm,
  type LmReply,
  type LmRequest,
  type LmShape,
  type LmValueType,
  decodeLmReply,
  decodeLmRequest,
  encodeLmReply,
  encodeLmRequest,
  lmBytesType,
  lmFormOf,
  lmReplyBytes,
  lmReplyWithout,
  lmRequestBytes,
} from "./lm-message.ts";
