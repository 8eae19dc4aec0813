/** One model of GET /v1/models, with vLLM's `max_model_len`. */
export interface ModelCard {
  readonly id: string;
  readonly object: "model";
  /** Seconds since 1970. */
  readonly created: number;
  readonly owned_by: "warmkv";
  /** What the name stands for: the model as it was given to the server. */
  readonly root: string;
  /** Of a LoRA module: the model that it is added to. */
  readonly parent: string | null;
  readonly max_model_len: number;
}

export interface ModelList {
  readonly object: "list";
  readonly data: readonly ModelCard[];
}
