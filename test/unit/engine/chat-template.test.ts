import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import type { ChatMessage } from "../../../src/engine/chat-template.ts";

const model = { bosText: "<s>", eosText: "</s>", addsBos: true };
const conversation: ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello" },
  { role: "user", content: "Bye" },
];

/** As models write it, with the line breaks and dashes that Jinja strips. */
const CHATML = `
{%- for message in messages -%}
  {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}`;

const LLAMA2 =
  "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}" +
  "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}" +
  "{% set system_message = false %}{% endif %}{% for message in loop_messages %}" +
  "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}" +
  "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}" +
  "{% if loop.index0 == 0 and system_message != false %}" +
  "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}" +
  "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}" +
  "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}" +
  "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

describe("ChatTemplate.render()", () => {
  it("renders ChatML and ends where the assistant begins", () => {
    expect(new ChatTemplate(CHATML, model).render(conversation)).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n" +
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n" +
        "<|im_start|>assistant\n",
    );
  });

  it("ends with the last message when asked to", () => {
    const text = new ChatTemplate(CHATML, model).render(conversation, {
      addGenerationPrompt: false,
    });
    expect(text.endsWith("Bye<|im_end|>\n")).toBe(true);
  });

  it.each([
    [CHATML, "Hello, ", "<|im_start|>assistant\nHello, "],
    [CHATML, "Hi", "<|im_start|>assistant\nHi"],
    [LLAMA2, "Hello, ", "[/INST] Hello, "],
  ])("ends within the message that is to be continued", (source, content, end) => {
    const messages: ChatMessage[] = [
      { role: "user", content: "Hi" },
      { role: "assistant", content },
    ];
    const text = new ChatTemplate(source, model).render(messages, {
      addGenerationPrompt: false,
      continueFinalMessage: true,
    });
    expect(text.endsWith(end)).toBe(true);
  });

  it("refuses to continue a message that it does not show", () => {
    const template = new ChatTemplate("{{ messages[0].content }}", model);
    const options = { continueFinalMessage: true };
    expect(() => template.render(conversation, options)).toThrow("Cannot continue the final");
  });

  it("cuts off a leading BOS, and only that one, where the tokenizer adds one", () => {
    expect(new ChatTemplate(LLAMA2, model).render(conversation)).toBe(
      "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]",
    );
  });

  it("keeps a leading BOS where the tokenizer adds none", () => {
    const text = new ChatTemplate(LLAMA2, { ...model, addsBos: false }).render(conversation);
    expect(text.startsWith("<s>[INST]")).toBe(true);
  });

  it("copes with a model that has no BOS", () => {
    const template = new ChatTemplate("{{ bos_token }}x", { ...model, bosText: "" });
    expect(template.render(conversation)).toBe("x");
  });

  it("passes further variables on, which cannot replace the messages", () => {
    const source = "{% if enable_thinking %}think{% endif %}{{ messages | length }}";
    const template = new ChatTemplate(source, model);
    const variables = { enable_thinking: true, messages: [], bos_token: "evil" };
    expect(template.render(conversation, { variables })).toBe("think4");
    expect(template.render(conversation)).toBe("4");
  });

  it("reads developer as system unless the template knows the role", () => {
    const messages: ChatMessage[] = [{ role: "developer", content: "x" }];
    expect(new ChatTemplate("{{ messages[0].role }}", model).render(messages)).toBe("system");
    const source = "{{ messages[0].role }}{# 'developer' #}";
    expect(new ChatTemplate(source, model).render(messages)).toBe("developer");
  });

  it("gives a message's name and reasoning to templates that want them", () => {
    const source = "{{ messages[0].name }}:{{ messages[0].reasoning_content }}";
    const messages: ChatMessage[] = [
      { role: "assistant", content: "", name: "ann", reasoning_content: "hm" },
    ];
    expect(new ChatTemplate(source, model).render(messages)).toBe("ann:hm");
  });

  it("passes on what a template says when it refuses", () => {
    const messages: ChatMessage[] = [{ role: "assistant", content: "x" }];
    const render = (): string => new ChatTemplate(LLAMA2, model).render(messages);
    expect(render).toThrow(UsageError);
    expect(render).toThrow("Conversation roles must alternate user/assistant");
  });

  it("throws a UsageError when a template computes nonsense", () => {
    const template = new ChatTemplate("{{ nothing_at_all() }}", model);
    expect(() => template.render(conversation)).toThrow(UsageError);
  });
});

describe("new ChatTemplate()", () => {
  it.each(["{% if x %}", "{{ a b }}", "{% nothing %}"])("refuses %s", (source) => {
    expect(() => new ChatTemplate(source, model)).toThrow(UsageError);
    expect(() => new ChatTemplate(source, model)).toThrow("Cannot read the chat template");
  });
});
