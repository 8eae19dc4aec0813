import { Hono } from "hono";
import type { ModelCard, ModelList } from "../openai/index.ts";
import type { Service } from "./service.ts";

/** GET /v1/models and GET /v1/models/:id */
export function models(service: Service): Hono {
  const { clock, servedModelNames } = service.options;
  const { model } = service.engine;
  const created = Math.floor(clock.wallMs() / 1000);
  const card = (id: string): ModelCard => {
    const module = service.module(id);
    return {
      id,
      object: "model",
      created,
      owned_by: "warmkv",
      root: module?.path ?? model.name,
      parent: module === undefined ? null : servedModelNames[0]!,
      max_model_len: model.maxModelLen,
    };
  };
  const moduleNames = (model.modules ?? []).map(({ name }) => name);
  const list: ModelList = {
    object: "list",
    data: [...servedModelNames, ...moduleNames].map(card),
  };
  return (
    new Hono()
      .get("/v1/models", (context) => context.json(list))
      // Names hold slashes.
      .get("/v1/models/:id{.+}", (context) =>
        context.json(card(service.modelName(context.req.param("id")))),
      )
  );
}
