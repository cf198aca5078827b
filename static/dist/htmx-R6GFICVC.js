import{a}from"./chunk-CIVYQYL3.js";export{a as default};
