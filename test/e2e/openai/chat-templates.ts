const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}" +
  "{% if message.tool_calls %}{% for call in message.tool_calls %}" +
  "{{ call.function | tojson }}{% endfor %}{% endif %}" +
  "{{ '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}";

/** Templates that ask for tool calls as the families do, on the model of random weights. */
export const chatTemplates = {
  hermes: `${TOOLS}{# <tool_call> #}${CHATML}`,
  llama3: `${TOOLS}{# ipython "parameters" #}${CHATML}`,
  mistral: `${TOOLS}{# [TOOL_CALLS] #}${CHATML}`,
  mistralNamed: `${TOOLS}{# [TOOL_CALLS] [ARGS] #}${CHATML}`,
  qwenCoder: `${TOOLS}{# <tool_call> <function= <parameter= #}${CHATML}`,
  glm: `${TOOLS}{# <tool_call> <arg_key> #}${CHATML}`,
  channels: `${TOOLS}{# <|channel|>commentary to=functions. <|message|> #}${CHATML}`,
  thinking: `${CHATML}{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}`,
  unknown: `${TOOLS}${CHATML}`,
} as const;
