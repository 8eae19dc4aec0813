import { Hono } from "hono";
import { ServerMetrics } from "./server-metrics.ts";
import type { CacheServerStats } from "./server-stats.ts";

/** What the admin endpoints look at. */
export interface AdminSource {
  /** Whether it takes connections: not before it listens and not while it shuts down. */
  readonly isReady: boolean;
  stats(): CacheServerStats;
}

/** For probes, scrapers and people. Nothing here changes anything or shows what is stored. */
export function createAdminApp(source: AdminSource): Hono {
  const metrics = new ServerMetrics(() => source.stats());
  const app = new Hono();
  app.get("/health", (context) => context.json({ status: "ok" }));
  app.get("/ready", (context) =>
    source.isReady
      ? context.json({ status: "ready" })
      : context.json({ status: "shutting down" }, 503),
  );
  app.get("/stats", (context) => context.json(source.stats()));
  app.get("/metrics", async (context) =>
    context.body(await metrics.render(), 200, { "content-type": metrics.contentType }),
  );
  app.notFound((context) =>
    context.json({ error: { message: `There is no ${context.req.path} here` } }, 404),
  );
  return app;
}
