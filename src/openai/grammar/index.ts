export { type AnswerForm, answerGrammar } from "./answer-grammar.ts";
