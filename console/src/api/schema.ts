// The types of the API are those of the TypeScript client, which are generated from the OpenAPI document.
export type * from "../../../clients/typescript/src/schema";
