const DATE = "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])";
const TIME = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
const HEX4 = "[0-9a-fA-F]{4}";
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";

/** JSON Schema's formats as patterns; some match a little less than the format allows. */
export const STRING_FORMATS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    date: `^${DATE}$`,
    time: `^${TIME}$`,
    "date-time": `^${DATE}T${TIME}$`,
    duration: "^P(\\d{1,4}D|(\\d{1,4}D)?T(\\d{1,4}H)?(\\d{1,4}M)?\\d{1,4}S)$",
    email: `^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@(${LABEL}\\.)+[A-Za-z]{2,16}$`,
    hostname: `^${LABEL}(\\.${LABEL})*$`,
    ipv4: `^${BYTE}\\.${BYTE}\\.${BYTE}\\.${BYTE}$`,
    ipv6: `^([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$`,
    uuid: `^${HEX4}${HEX4}-${HEX4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-${HEX4}${HEX4}${HEX4}$`,
    uri: "^[a-z][a-z0-9+.-]*://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+$",
  }),
);
