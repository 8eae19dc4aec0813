import type { PackType, ReadType, WriteType } from "./struct-pack.ts";
import {
  type Expected,
  type Uuid,
  boolean,
  expected,
  int32,
  list,
  nothing,
  one,
  only,
  optional,
  struct,
  text,
  uint64,
  uint8,
  uuid,
  variant,
} from "./struct-pack-types.ts";

/**
 * What Mooncake's master is asked, release by release: coro_rpc refuses arguments whose types differ in one field, so
 * a client speaks to the releases whose layouts it knows. A caller gives the fields of all releases; a layout writes
 * those that its release has.
 */
export interface MooncakeLayout {
  /** The first release with it. */
  readonly release: string;
  /** Owners of memory close a connection behind its first transfer. So did all before 0.3.10. */
  readonly isOneTransferPerConnection: boolean;
  readonly batchExist: MooncakeCall<BatchExistArguments, readonly Expected<boolean>[]>;
  readonly replicas: MooncakeCall<KeyArguments, Expected<MooncakeReplicas>>;
  readonly putStart: MooncakeCall<PutStartArguments, Expected<readonly MooncakeReplica[]>>;
  readonly putEnd: MooncakeCall<PutEndArguments, Expected<undefined>>;
  readonly putRevoke: MooncakeCall<PutEndArguments, Expected<undefined>>;
  readonly remove: MooncakeCall<RemoveArguments, Expected<undefined>>;
}

export interface MooncakeCall<A, R> {
  readonly name: string;
  readonly request: WriteType<A>;
  readonly reply: ReadType<R>;
}

export interface KeyArguments {
  readonly key: string;
  readonly tenantId: string;
}

export interface BatchExistArguments {
  readonly keys: readonly string[];
  readonly tenantId: string;
}

export interface PutStartArguments extends KeyArguments {
  readonly clientId: Uuid;
  readonly sliceBytes: readonly bigint[];
  readonly config: typeof REPLICATE_CONFIG;
}

export interface PutEndArguments extends KeyArguments {
  readonly clientId: Uuid;
  readonly object: { readonly key: string; readonly checksum: bigint | undefined };
  readonly replicaType: number;
}

export interface RemoveArguments extends KeyArguments {
  /** Although somebody reads it, or may. Releases without the field keep a leased object. */
  readonly force: boolean;
}

export interface MooncakeReplicas {
  readonly replicas: readonly MooncakeReplica[];
  readonly leaseMs: bigint;
}

export interface MooncakeReplica {
  readonly where:
    | { readonly kind: "memory"; readonly value: { readonly buffers: readonly MooncakeBuffer[] } }
    | { readonly kind: "flash" | "disk" | "localDisk" | "distributed"; readonly value: unknown };
  readonly status: number;
}

/** A range of a segment: of the memory that one client lends. */
export interface MooncakeBuffer {
  readonly sizeBytes: bigint;
  readonly address: bigint;
  readonly segment: string;
  /** Releases before 0.3.9 do not tell. */
  readonly protocol?: string;
}

/** None where the replica is not in memory. */
export function memoryBuffers({ where }: MooncakeReplica): readonly MooncakeBuffer[] {
  return where.kind === "memory" ? where.value.buffers : [];
}

export const MooncakeReplicaStatus = { complete: 3 } as const;

/** Which kind of replica a put ends for. */
export const MooncakeReplicaType = { memory: 0 } as const;

/** One replica in memory, wherever there is room, not pinned. */
export const REPLICATE_CONFIG = {
  replicaNum: 1n,
  nofReplicaNum: 0n,
  dfsReplicaNum: 0n,
  withSoftPin: false,
  softPinAction: 0,
  softPinTtlMs: undefined,
  withHardPin: false,
  preferredSegments: [] as readonly string[],
  preferredSegment: "",
  preferredNofSegments: [] as readonly string[],
  preferAllocInSameNode: false,
  /** KVCACHE */
  dataType: 1,
  hostId: "",
  groupIds: undefined,
} as const;

const texts = list(text);

const plainBuffer = struct({ sizeBytes: uint64, address: uint64, segment: text });
const buffer = struct({ sizeBytes: uint64, address: uint64, protocol: text, segment: text });
const manyBuffers = struct({ buffers: list(plainBuffer) });
const onePlainBuffer = struct({ buffers: one(plainBuffer) });
const oneBuffer = struct({ buffers: one(buffer) });
const disk = struct({ path: text, sizeBytes: uint64 });
const localDisk = struct({ clientId: uuid, sizeBytes: uint64, segment: text });
const distributed = struct({
  path: text,
  offset: uint64,
  sizeBytes: uint64,
  alignedBytes: uint64,
  shard: int32,
});

const replica037 = struct({ where: variant({ memory: manyBuffers, disk }), status: int32 });
const replica038 = struct({
  where: variant({ memory: onePlainBuffer, disk, localDisk }),
  status: int32,
});
const replica039 = struct({
  id: uint64,
  where: variant({ memory: oneBuffer, disk, localDisk }),
  status: int32,
});
const replica0311 = struct({
  id: uint64,
  where: variant({ memory: oneBuffer, flash: oneBuffer, disk, localDisk }),
  status: int32,
});
const replica0313 = struct({
  id: uint64,
  where: variant({ memory: oneBuffer, flash: oneBuffer, disk, localDisk, distributed }),
  status: int32,
});

const config037 = struct({
  replicaNum: uint64,
  withSoftPin: boolean,
  preferredSegment: text,
  preferAllocInSameNode: boolean,
});
const config038 = struct({
  replicaNum: uint64,
  withSoftPin: boolean,
  preferredSegments: texts,
  preferredSegment: text,
  preferAllocInSameNode: boolean,
});
const config0310 = struct({
  replicaNum: uint64,
  withSoftPin: boolean,
  withHardPin: boolean,
  preferredSegments: texts,
  preferredSegment: text,
  preferAllocInSameNode: boolean,
});
const config0311 = struct({
  replicaNum: uint64,
  nofReplicaNum: uint64,
  withSoftPin: boolean,
  withHardPin: boolean,
  preferredSegments: texts,
  preferredSegment: text,
  preferredNofSegments: texts,
  preferAllocInSameNode: boolean,
  dataType: uint8,
});
const config0312 = struct({
  replicaNum: uint64,
  nofReplicaNum: uint64,
  withSoftPin: boolean,
  withHardPin: boolean,
  preferredSegments: texts,
  preferredSegment: text,
  preferredNofSegments: texts,
  preferAllocInSameNode: boolean,
  dataType: uint8,
  hostId: text,
  groupIds: optional(texts),
});
const config0313 = struct({
  replicaNum: uint64,
  nofReplicaNum: uint64,
  dfsReplicaNum: uint64,
  softPinAction: uint8,
  softPinTtlMs: optional(uint64),
  withHardPin: boolean,
  preferredSegments: texts,
  preferredSegment: text,
  preferredNofSegments: texts,
  preferAllocInSameNode: boolean,
  dataType: uint8,
  hostId: text,
  groupIds: optional(texts),
});

const found = expected(boolean);
const done = expected(nothing);

function call<A, R>(name: string, request: WriteType<A>, reply: ReadType<R>): MooncakeCall<A, R> {
  return { name, request, reply };
}

function replicasOf<T extends MooncakeReplica>(
  replica: PackType<T>,
): ReadType<Expected<MooncakeReplicas>> {
  return expected(struct({ replicas: list(replica), leaseMs: uint64 }));
}

function putStart<C>(config: PackType<C>) {
  return struct({ clientId: uuid, key: text, sliceBytes: one(uint64), config });
}

function tenantPutStart<C>(config: PackType<C>) {
  return struct({ clientId: uuid, key: text, sliceBytes: one(uint64), config, tenantId: text });
}

/** Calls without a tenant, and without a checksum: until 0.3.12. */
const keyOnly = only("key", text);
const putEnd038 = struct({ clientId: uuid, key: text, replicaType: int32 });
const putEnd0312 = struct({ clientId: uuid, key: text, replicaType: int32, tenantId: text });

const layout037: MooncakeLayout = {
  release: "0.3.7",
  isOneTransferPerConnection: true,
  batchExist: call("BatchExistKey", only("keys", texts), list(found)),
  replicas: call("GetReplicaList", keyOnly, replicasOf(replica037)),
  putStart: call(
    "PutStart",
    struct({ key: text, sliceBytes: list(uint64), config: config037 }),
    expected(list(replica037)),
  ),
  putEnd: call("PutEnd", struct({ key: text, replicaType: int32 }), done),
  putRevoke: call("PutRevoke", struct({ key: text, replicaType: int32 }), done),
  remove: call("Remove", keyOnly, done),
};

const layout038: MooncakeLayout = {
  ...layout037,
  release: "0.3.8",
  replicas: call("GetReplicaList", keyOnly, replicasOf(replica038)),
  putStart: call("PutStart", putStart(config038), expected(list(replica038))),
  putEnd: call("PutEnd", putEnd038, done),
  putRevoke: call("PutRevoke", putEnd038, done),
};

const layout039: MooncakeLayout = {
  ...layout038,
  release: "0.3.9",
  replicas: call("GetReplicaList", keyOnly, replicasOf(replica039)),
  putStart: call("PutStart", putStart(config038), expected(list(replica039))),
  remove: call("Remove", struct({ key: text, force: boolean }), done),
};

const layout0310: MooncakeLayout = {
  ...layout039,
  release: "0.3.10.post1",
  isOneTransferPerConnection: false,
  putStart: call("PutStart", putStart(config0310), expected(list(replica039))),
};

const layout0311: MooncakeLayout = {
  ...layout0310,
  release: "0.3.11",
  replicas: call("GetReplicaList", keyOnly, replicasOf(replica0311)),
  putStart: call("PutStart", putStart(config0311), expected(list(replica0311))),
};

const layout0312: MooncakeLayout = {
  release: "0.3.12",
  isOneTransferPerConnection: false,
  batchExist: call("BatchExistKey", struct({ keys: texts, tenantId: text }), list(found)),
  replicas: call("GetReplicaList", struct({ key: text, tenantId: text }), replicasOf(replica0311)),
  putStart: call("PutStart", tenantPutStart(config0312), expected(list(replica0311))),
  putEnd: call("PutEnd", putEnd0312, done),
  putRevoke: call("PutRevoke", putEnd0312, done),
  remove: call("Remove", struct({ key: text, force: boolean, tenantId: text }), done),
};

const layout0313: MooncakeLayout = {
  ...layout0312,
  release: "0.3.13",
  replicas: call(
    "GetReplicaList",
    struct({ key: text, tenantId: text }),
    expected(struct({ replicas: list(replica0313), leaseMs: uint64, checksum: optional(uint64) })),
  ),
  putStart: call("PutStart", tenantPutStart(config0313), expected(list(replica0313))),
  putEnd: call(
    "PutEnd",
    struct({
      clientId: uuid,
      object: struct({ key: text, checksum: optional(uint64) }),
      replicaType: int32,
      tenantId: text,
    }),
    done,
  ),
};

/** The latest first. */
export const MOONCAKE_LAYOUTS: readonly MooncakeLayout[] = [
  layout0313,
  layout0312,
  layout0311,
  layout0310,
  layout039,
  layout038,
  layout037,
];
